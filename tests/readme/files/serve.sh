echo "serving $*"
exec sleep 1000
