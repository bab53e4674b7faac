#!/usr/bin/env bash
# prepare.sh [LAYER...] - lay the package layers under roots/ (run on the host, as root).
#
# A node of the lab sees "Debian plus one IKE daemon": a layer is stacked with overlayfs on the host's root.
# libreswan and strongSwan both own /usr/sbin/ipsec, so neither is installed: their packages are unpacked into
# roots/NAME.  roots/cygnet is what `make install` puts there.  Everything here is git-ignored and made again at need.
#   LAYER = libreswan | strongswan | vpnc | radius | nm | pki | cygnet    default: all; pki: keys and certificates
set -euo pipefail
LAB=$(cd "$(dirname "$0")" && pwd)
TOP=$(cd "$LAB/../.." && pwd)

HOST_PACKAGES=(user-mode-linux xl2tpd ppp iperf3 iptables iproute2 iputils-ping tcpdump util-linux kmod procps perl python3
  ike-scan openssl)
LIBRESWAN=(libreswan dns-root-data libfstrm0 libjemalloc2 liblmdb0 libmaxminddb0 libprotobuf-c1 bind9-libs bind9-host
  libnss3 libnss3-tools libnspr4 libldns3 libevent-2.1-7 libevent-core-2.1-7 libevent-pthreads-2.1-7 libunbound8
  libseccomp2 libcap-ng0)
STRONGSWAN=(libstrongswan strongswan-starter strongswan-libcharon strongswan-charon libcharon-extauth-plugins
  libstrongswan-standard-plugins libstrongswan-extra-plugins libcharon-extra-plugins libtss2-mu0 libtss2-sys1)
VPNC=(vpnc vpnc-scripts)
NM=(network-manager network-manager-l2tp dbus dbus-bin dbus-daemon libdbus-1-3 libglib2.0-0 libglib2.0-bin libnm0 libndp0
  libteamdctl0 libmm-glib0 libbluetooth3 libnewt0.52 libslang2 libudev1 libpsl5 libcurl3-gnutls libjansson4 libreadline8
  libpolkit-agent-1-0 libpolkit-gobject-1-0 libnss3 libnspr4 libsystemd0 libselinux1 libnghttp2-14 librtmp1 libssh2-1
  libsqlite3-0 libbrotli1 libapparmor1 libexpat1 libaudit1 libcap-ng0)
RADIUS=(freeradius freeradius-common libfreeradius3 libtalloc2 libct4 libwbclient0 libpcre3)

updated=
apt_update() { [ -n "$updated" ] || { apt-get update -qq; updated=1; }; }

missing=()
for p in "${HOST_PACKAGES[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$p" 2>/dev/null)" = 'ii ' ] || missing+=("$p")
done
if [ ${#missing[@]} -gt 0 ]; then
  apt_update
  # a package's own start-up would run a daemon on the host: refuse it for the time of the installation
  made=
  [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; made=1; }
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" || rc=$?
  [ -z "$made" ] || rm -f /usr/sbin/policy-rc.d
  [ -z "${rc:-}" ] || exit "$rc"
fi

layer() { # layer NAME PACKAGE... : unpack the packages into roots/NAME
  local root=$LAB/roots/$1 p d
  shift
  [ ! -e "$root/.done" ] || return 0
  rm -rf "$root"
  mkdir -p "$root" "$LAB/debs"
  # apt drops privileges to _apt, which may not write here: the sandbox is switched off for this one download
  (cd "$LAB/debs" && { apt-get download -qq -o APT::Sandbox::User=root "$@" 2>/dev/null ||
    { apt_update; apt-get download -qq -o APT::Sandbox::User=root "$@"; }; })
  for p in "$@"; do
    d=$(find "$LAB/debs" -name "${p}_*.deb" -printf '%T@ %p\n' | sort -rn | sed -n '1s/^[^ ]* //p')
    dpkg -x "$d" "$root"
    basename "$d" >>"$root/.debs"
  done
  # These packages still carry a real /lib; as an overlay layer it would hide the host's /lib -> usr/lib and nothing
  # would execute any more.
  for d in lib bin sbin; do
    if [ -d "$root/$d" ]; then cp -a "$root/$d/." "$root/usr/$d/"; rm -rf "${root:?}/$d"; fi
  done
  touch "$root/.done"
}

# modprobe wants DIR/lib/modules/VERSION; the kernel package keeps its modules elsewhere and the host stays as it is.
kver=$(linux.uml --version | tail -1)
mkdir -p "$LAB/roots/uml/lib/modules"
ln -sfn "/usr/lib/uml/modules/$kver" "$LAB/roots/uml/lib/modules/$kver"

for l in "${@:-all}"; do
  case $l in libreswan | all) layer libreswan "${LIBRESWAN[@]}" ;; esac
  case $l in strongswan | all) layer strongswan "${STRONGSWAN[@]}" ;; esac
  case $l in vpnc | all) layer vpnc "${VPNC[@]}" ;; esac
  case $l in nm | all) layer nm "${NM[@]}" ;; esac
  case $l in radius | all) layer radius "${RADIUS[@]}" ;; esac
  case $l in pki | all) [ "$LAB/roots/pki/.done" -nt "$LAB/pki.sh" ] || "$LAB/pki.sh" "$LAB/roots/pki" ;; esac
  case $l in cygnet | all)
    rm -rf "$LAB/roots/cygnet"
    make -s -C "$TOP" install DESTDIR="$LAB/roots/cygnet" PREFIX=/usr ETC=no
    # the samples too; a server's files lie over them
    install -D -m 644 "$TOP/etc/ipsec.conf" "$LAB/roots/cygnet/etc/ipsec.conf"
    install -D -m 600 "$TOP/etc/ipsec.secrets" "$LAB/roots/cygnet/etc/ipsec.secrets"
    ;;
  esac
done
