#!/bin/sh
# Prints the time every second. A shell handles a signal when its current command has ended, so this
# one exits within a second.
trap 'echo "no more ticks"; exit 0' INT TERM QUIT

while :; do
    date '+%H:%M:%S'
    sleep 1
done
