#!/bin/bash
# Whether the server or worker of this container answers: `healthy.sh ADDRESS PATH`, where only the port of the address counts.
# The images have no curl; bash opens the connection itself.
set -euo pipefail

exec 3<>"/dev/tcp/127.0.0.1/${1##*:}"
printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$2" >&3
read -r _ status _ <&3
[ "$status" = 200 ]
