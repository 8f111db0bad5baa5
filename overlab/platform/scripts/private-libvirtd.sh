#!/bin/sh
# private-libvirtd.sh STATE RUN [DEVICE]
# Runs as the first process of a private mount namespace: puts the lab's directories over libvirt's own ones and
# becomes libvirtd. /run is hidden, so that libvirtd reaches no D-Bus, firewalld or machined of the
# machine and shares no lock or pid file with the machine's own libvirt. DEVICE cannot be opened, also by root.
set -eu
state=$1
run=$2
device=${3-}

mkdir -p "$state/hold"
mount --bind "$run" "$state/hold"
mount -t tmpfs -o mode=0755,size=16m overlab-run /run
mkdir -p "$run" /run/libvirt
mount --move "$state/hold" "$run"
mount --bind "$run/libvirt" /run/libvirt
mount --bind "$state/etc" /etc/libvirt
mount --bind "$state/lib" /var/lib/libvirt
mount --bind "$state/log" /var/log/libvirt
mount --bind "$state/cache" /var/cache/libvirt
if [ -n "$device" ]; then
	mount --bind "$device" "$device"
	mount -o remount,bind,nodev "$device"
fi

exec libvirtd --config /etc/libvirt/libvirtd.conf --pid-file /run/libvirt/libvirtd.pid
