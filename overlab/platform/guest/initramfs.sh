#!/bin/sh
# Makes a small initramfs that does one thing: mount the root by label and start init. No udev: devtmpfs is enough.
set -eu
version=$(ls /lib/modules)
work=$(mktemp -d)
mkdir -p "$work/bin" "$work/modules" "$work/dev" "$work/proc" "$work/sys" "$work/root"
cp /bin/busybox "$work/bin/busybox"
cp /lab/initramfs-init "$work/init"
chmod 755 "$work/init"
for module in virtio_pci virtio_blk ata_piix sr_mod ext4 crc32c_generic isofs virtio_net; do
    modprobe --set-version "$version" --show-depends "$module" | sed -n 's/^insmod //p'
done | awk '!seen[$1]++ { print $1 }' | while read -r file; do
    cp "$file" "$work/modules/"
    basename "$file" >> "$work/modules/order"
done
(cd "$work" && find . -print0 | sort -z | cpio --null --create --format=newc --reproducible --quiet) \
    > "/boot/initrd.img-$version"
rm -rf "$work"
ln -sf "boot/vmlinuz-$version" /vmlinuz
ln -sf "boot/initrd.img-$version" /initrd.img
