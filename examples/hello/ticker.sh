#!/bin/sh
# Says the time every second. A shell looks at a signal when the command it runs has ended, so this
# one leaves within a second.
trap 'echo "no more ticks"; exit 0' INT TERM QUIT

while :; do
    date '+%H:%M:%S'
    sleep 1
done
