#!/bin/sh
echo "i am $(id -un) of $(id -gn)"
