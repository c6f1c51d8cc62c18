echo "$name fails"
exit 1
