#!/bin/bash
# guest-init.sh - process 1 of the guest.  The root is the host's, read-only: lay a tmpfs over it, run $LAB_SCRIPT in
# there and power off.  Nothing but /out reaches the host.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C TERM=dumb
mount -t proc proc /proc
trap 'sync; poweroff -f' EXIT
modprobe -a -q -d "$LAB_DIR/roots/uml" overlay $(grep -v '^#' "$LAB_DIR/modules.txt")
# Every module is loaded by now.  Autoload off: each new SA would run modprobe several times, 0.6 to 1.6 s.
echo >/proc/sys/kernel/modprobe
mount -t tmpfs -o size=80% lab /mnt
mkdir -p /mnt/up /mnt/wk /mnt/base /mnt/n/.host
mount -t overlay -o lowerdir=/,upperdir=/mnt/up,workdir=/mnt/wk base /mnt/base || exit 1
B=/mnt/base
# The nodes' lower layer is the host's root from a second superblock: the package layers lie inside the first one, and
# overlayfs refuses lower folders that overlap (ELOOP).
mount -r -t hostfs -o / none /mnt/n/.host
mount -t proc proc $B/proc
mount -t sysfs sys $B/sys
mount -t devtmpfs dev $B/dev
mkdir -p $B/dev/pts $B/dev/shm
ln -s /proc/self/fd $B/dev/fd          # no udev here; bash needs it
ln -sfn /run/log $B/dev/log            # /dev is shared by the nodes, /run is not: each node has its own log
mount -t devpts -o mode=620,gid=5,ptmxmode=666 devpts $B/dev/pts
mount -t tmpfs shm $B/dev/shm
mount -t tmpfs run $B/run
mount -t tmpfs tmp $B/tmp
mkdir -p $B/run/netns $B/run/lock $B/out $B/n $B/lab
mount --rbind /mnt/n $B/n
mount -t hostfs -o "$LAB_OUT" none $B/out
mount --bind "$LAB_DIR" $B/lab
ip link set lo up
chroot $B /bin/bash "/lab/${LAB_SCRIPT#"$LAB_DIR/"}"
echo $? >$B/out/status
