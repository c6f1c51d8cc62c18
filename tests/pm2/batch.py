import sys
print("batch ends with", sys.argv[1])
sys.exit(int(sys.argv[1]))
