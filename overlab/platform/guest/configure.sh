#!/bin/sh
# Runs as root in the chroot of the machines' root file system: configure.sh [PACKAGES-DIRECTORY]
# The files below files/ are in place already. Packages of an engine are installed if a directory with them is given.
# It also runs while Docker builds the nodes' image, without a kernel, and with files of Docker's mounted.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C INITRD=No

# No service starts while packages are installed in here.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d

[ -z "${1-}" ] || dpkg --force-unsafe-io --install "$1"/*.deb
if command -v dockerd >/dev/null; then
    # The program starts the engine when it is configured; not before.
    systemctl --quiet disable docker.service docker.socket containerd.service
    # Plugins that dockerd does not use cost a slow machine seconds at each start.
    sed -i '1a disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs",\
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]' \
        /etc/containerd/config.toml
fi

# What a lab machine never needs costs guest time at each boot.
systemctl --quiet mask \
    apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer e2scrub_reap.service \
    systemd-pstore.service systemd-update-utmp.service systemd-update-utmp-runlevel.service \
    systemd-rfkill.socket systemd-hwdb-update.service systemd-journal-flush.service systemd-random-seed.service \
    systemd-ask-password-console.path systemd-ask-password-wall.path getty.target \
    sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount sys-fs-fuse-connections.mount \
    proc-sys-fs-binfmt_misc.automount systemd-binfmt.service sys-kernel-config.mount systemd-boot-system-token.service \
    modprobe@configfs.service modprobe@drm.service modprobe@fuse.service kmod-static-nodes.service \
    systemd-tmpfiles-setup-dev.service systemd-initctl.socket systemd-machine-id-commit.service systemd-sysusers.service \
    ifupdown-pre.service systemd-remount-fs.service systemd-fsck-root.service acpid.path acpid.socket
systemctl --quiet mask cloud-init-local.service cloud-init.service cloud-config.service
systemctl --quiet disable cloud-final.service
systemctl --quiet enable lab-cloud-init.service cloud-final.service acpid.service
# The bus and logind are started when something asks for them (a reboot does); the power button is acpid's.
rm /lib/systemd/system/multi-user.target.wants/dbus.service \
    /lib/systemd/system/multi-user.target.wants/systemd-logind.service
# Of the unit generators only that of /etc/fstab has work here; each costs a process at boot and at each daemon-reload.
mkdir -p /etc/systemd/system-generators
for generator in /lib/systemd/system-generators/*; do
    case $generator in
    */systemd-fstab-generator) ;;
    *) ln -s /dev/null "/etc/systemd/system-generators/${generator##*/}" ;;
    esac
done
# Rules for devices that a virtual machine has; each device's arrival, a container's too, walks through all rules.
for rules in /lib/udev/rules.d/* /usr/lib/udev/rules.d/*; do
    case $rules in
    */50-udev-default.rules | */60-block.rules | */60-persistent-storage.rules | */80-drivers.rules) ;;
    */80-net-setup-link.rules | */99-systemd.rules | */\*) ;;
    *) ln -sf /dev/null "/etc/udev/rules.d/${rules##*/}" ;;
    esac
done
rm -f /etc/modules-load.d/modules.conf
systemctl --quiet set-default multi-user.target

# motd and mail at each login
sed -i '/pam_motd\|pam_mail/d' /etc/pam.d/sshd

# Each machine gets an identity of its own: host keys by cloud-init, the machine id at first boot.
rm -f /etc/cloud/cloud.cfg.d/00_debian.cfg /etc/ssh/ssh_host_* /var/lib/dbus/machine-id
: > /etc/machine-id
rm -f /usr/sbin/policy-rc.d /etc/apt/sources.list /etc/apt/apt.conf.d/99mmdebstrap
for file in /etc/hostname /etc/resolv.conf; do
    mountpoint -q "$file" || rm -f "$file"
done
: > /etc/resolv.conf
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/log/* /tmp/*
mkdir -p /var/cache/apt/archives/partial /var/lib/apt/lists/partial

# Nothing is newer than these stamps: systemd skips its first-boot refreshes.
touch /etc/.updated /var/.updated

[ ! -e /lab/initramfs.sh ] || sh /lab/initramfs.sh
