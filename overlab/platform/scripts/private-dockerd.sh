#!/bin/sh
# private-dockerd.sh STATE CONFIG
# Runs as the first process of private PID and mount namespaces: hides the machine's own /etc/docker and /run/docker
# behind directories of the lab and runs dockerd with CONFIG. It stays the first process, to reap what containers leave.
set -eu
state=$1
config=$2

mkdir -p "$state/etc" /etc/docker /run/docker
mount --bind "$state/etc" /etc/docker
mount -t tmpfs -o mode=0700,size=16m overlab-run-docker /run/docker

dockerd --config-file "$config" &
wait $!
