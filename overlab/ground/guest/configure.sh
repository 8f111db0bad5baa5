#!/bin/sh
# Runs as root in the chroot of the machines' root file system: configure.sh [PACKAGES-DIRECTORY]
# The files below files/ are in place already. Packages of an engine are installed if a directory with them is given.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C INITRD=No

# No service starts while packages are installed in here.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d

if [ -n "${1-}" ]; then
    dpkg --force-unsafe-io --install "$1"/*.deb
    # The program starts the engine when it is configured; not before.
    systemctl disable docker.service docker.socket containerd.service
fi

# What a lab machine never needs costs guest time at each boot.
systemctl mask \
    apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer e2scrub_reap.service \
    systemd-pstore.service systemd-update-utmp.service systemd-update-utmp-runlevel.service \
    systemd-rfkill.socket systemd-hwdb-update.service systemd-journal-flush.service systemd-random-seed.service \
    systemd-ask-password-console.path systemd-ask-password-wall.path getty.target \
    sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount sys-fs-fuse-connections.mount \
    modprobe@configfs.service modprobe@drm.service modprobe@fuse.service kmod-static-nodes.service \
    ifupdown-pre.service systemd-remount-fs.service systemd-fsck-root.service
systemctl mask cloud-init-local.service cloud-init.service cloud-config.service
systemctl disable cloud-final.service
systemctl enable lab-cloud-init.service cloud-final.service
# cloud-init is always wanted here: no need to ask at each boot
mkdir -p /etc/systemd/system-generators
ln -sf /dev/null /etc/systemd/system-generators/cloud-init-generator
ln -sf /dev/null /etc/systemd/system-generators/systemd-gpt-auto-generator
ln -sf /dev/null /etc/systemd/system-generators/systemd-getty-generator
ln -sf /dev/null /etc/systemd/system-generators/systemd-sysv-generator
ln -sf /dev/null /etc/systemd/system-generators/systemd-rc-local-generator
systemctl set-default multi-user.target

# motd scripts at each login
sed -i '/pam_motd\|pam_mail/d' /etc/pam.d/sshd

# Each machine gets an identity of its own: host keys by cloud-init, the machine id at first boot.
rm -f /etc/cloud/cloud.cfg.d/00_debian.cfg /etc/ssh/ssh_host_* /var/lib/dbus/machine-id /etc/hostname /usr/sbin/policy-rc.d
: > /etc/machine-id
rm -f /etc/apt/sources.list /etc/apt/apt.conf.d/99mmdebstrap /etc/resolv.conf
: > /etc/resolv.conf
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/log/* /tmp/*
mkdir -p /var/log/journal /var/cache/apt/archives/partial /var/lib/apt/lists/partial
rmdir /var/log/journal

# Nothing newer than these stamps: systemd skips its first-boot refreshes.
touch /etc/.updated /var/.updated

sh /lab/initramfs.sh
