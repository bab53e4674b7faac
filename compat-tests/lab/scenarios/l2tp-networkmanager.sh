# l2tp-networkmanager.sh - Debian's NetworkManager and its L2TP plugin drive our xl2tpd on `gw2`; the server on `pub` is
# Debian's xl2tpd.  Sourced inside the guest.

nm_start() { # nm_start NODE: a bus and NetworkManager, which leaves the lab's interfaces as they are
  local e=/n/$1/etc ifindex
  mkdir -p "/n/$1/run/dbus" "/n/$1/run/NetworkManager" "/n/$1/var/lib/NetworkManager" "/n/$1/var/lib/dbus" "$e/NetworkManager/system-connections"
  cat >"$e/lab-bus.conf" <<'E'
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow send_type="signal"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
  </policy>
</busconfig>
E
  cat >"$e/NetworkManager/NetworkManager.conf" <<'E'
[main]
plugins=keyfile
auth-polkit=false
dhcp=internal
dns=none
rc-manager=unmanaged
systemd-resolved=false
no-auto-default=*
[logging]
level=INFO
backend=syslog
E
  # a /sys that cannot be written to tells it that there is no udev
  mountpoint -q "/n/$1/sys" || nx "$1" mount -t sysfs -o ro sys /sys || fail "no /sys" || return
  # what udev would have left: the interface is complete
  mkdir -p "/n/$1/run/udev/data"
  read -r ifindex <"/n/$1/sys/class/net/eth0/ifindex"
  printf 'I:1\n' >"/n/$1/run/udev/data/n$ifindex"
  nx "$1" dbus-daemon --config-file=/etc/lab-bus.conf --fork --nopidfile >"$OUT/bus.log" 2>&1 || fail "no bus: $(tail -1 "$OUT/bus.log")" || return
  mark "$1"
  nx "$1" NetworkManager --no-daemon </dev/null >"$OUT/nm.log" 2>&1 &
  disown
  # it takes the interface as it finds it; a VPN wants a connection of its own below it
  wait_for 20 logged "$1" 'device .eth0.: Activation: successful' || fail "NetworkManager does not start: $(tail -1 "$OUT/nm.log")" || return
}

nm_stop() { # the interface keeps its address
  sig "$1" TERM NetworkManager
  wait_for 10 gone "$1" NetworkManager nm-l2tp-service
  sig "$1" TERM dbus-daemon
}
nm_cli() { nx gw2 timeout 40 nmcli connection "$@" >"$OUT/nmcli.log" 2>&1; }
nm_session() { # nm_session NAME: up, a ping through it, down
  local t=${EPOCHREALTIME/./}
  nm_cli up "$1" || fail "$1: $(grep -v '^Hint' "$OUT/nmcli.log" | tail -1)" || return
  since "$t"
  note "$1 ${REPLY}s"
  wait_for 5 nx gw2 ping -n -c1 -W1 $L2TP_NET.1 || fail "$1: no ping" || return
  t=${EPOCHREALTIME/./}
  nm_cli down "$1" || fail "$1: $(tail -1 "$OUT/nmcli.log")" || return
  wait_for 5 gone gw2 xl2tpd pppd || fail "$1: xl2tpd or pppd stay" || return
  since "$t"
  note "down ${REPLY}s"
}

sc_l2tp_networkmanager() {
  l2tp_end gw2 pub
  lns_files pub '' auth require-mschap-v2
  old_words pub
  l2tp_start pub || fail "pub: xl2tpd does not start" || return
  nm_start gw2 || return
  nm_cli add type ethernet con-name base ifname eth0 ipv4.method manual ipv4.addresses 203.0.113.30/24 \
    ipv4.gateway 203.0.113.254 ipv6.method disabled autoconnect no && nm_cli up base || fail "base: $(tail -1 "$OUT/nmcli.log")" || return
  nm_cli add type vpn vpn-type l2tp con-name plain ifname '*' vpn.data \
    'gateway=203.0.113.10, user=alice, password-flags=0, refuse-eap=yes' vpn.secrets 'password=secret-a' || fail "nmcli: $(tail -1 "$OUT/nmcli.log")" || return
  nm_session plain || return
  nm_stop gw2
  l2tp_end pub
}
