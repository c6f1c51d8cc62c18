import signal
import sys

print("serving", *sys.argv[1:])
signal.pause()
