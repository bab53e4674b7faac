# l2tp.sh - L2TP without IPsec: our daemon as LNS on `gw2` (203.0.113.30), Debian's xl2tpd and pppd as LAC on `pub`.
# Sourced inside the guest.
L2TP_NET=10.20.30

# lns_files NODE GLOBAL OPTION...: an LNS with a pool of its own, and pppd's options
lns_files() {
  local e=/n/$1/etc global=$2
  shift 2
  mkdir -p "$e/xl2tpd"
  cat >"$e/xl2tpd/xl2tpd.conf" <<E
[global]
listen-plain = yes
$global
[lns default]
ip range = $L2TP_NET.10-$L2TP_NET.254
local ip = $L2TP_NET.1
require authentication = yes
name = LinuxVPNserver
ppp debug = yes
length bit = yes
pppoptfile = /etc/ppp/options.lns
E
  printf '%s\n' "$@" noccp mtu\ 1400 mru\ 1400 nodefaultroute lcp-restart\ 1 debug >"$e/ppp/options.lns"
  printf '%s\n' 'alice LinuxVPNserver "secret-a" *' "bob LinuxVPNserver \"secret-b\" $L2TP_NET.10" >"$e/ppp/chap-secrets"
  cp "$e/ppp/chap-secrets" "$e/ppp/pap-secrets"
  chmod 600 "$e/ppp/chap-secrets" "$e/ppp/pap-secrets"
  # what pppd tells its scripts
  printf '%s\n' '#!/bin/sh' 'echo "${0##*/} $1 $2 $3 $4 $5 $6 user=$PEERNAME" >>/run/ip-script' >"$e/ppp/ip-up"
  cp "$e/ppp/ip-up" "$e/ppp/ip-down"
  chmod 755 "$e/ppp/ip-up" "$e/ppp/ip-down"
  # nothing of an earlier scenario: what its scripts said, who had which address
  rm -f "$e/../run/ip-script" "$e/../run/xl2tpd/l2tp-control.addresses"
}
# lac_files NODE SERVER USER PASSWORD OPTION...
lac_files() {
  local e=/n/$1/etc server=$2 user=$3 password=$4
  shift 4
  mkdir -p "$e/xl2tpd"
  cat >"$e/xl2tpd/xl2tpd.conf" <<E
[lac vpn]
lns = $server
ppp debug = yes
pppoptfile = /etc/ppp/options.client
length bit = yes
E
  printf '%s\n' "$@" noauth mtu\ 1400 mru\ 1400 nodefaultroute lcp-restart\ 1 debug "name $user" "password $password" \
    >"$e/ppp/options.client"
}
l2tp_end() { # l2tp_end NODE...: end the daemons of these nodes
  local n
  for n; do client_stop "$n"; done
  for n; do sig "$n" TERM xl2tpd; done
  for n; do wait_for 5 gone "$n" xl2tpd pppd || { sig "$n" KILL xl2tpd; sig "$n" KILL pppd; }; done
  for n; do rm -f "/n/$n/run/xl2tpd.pid"; done
  CLIENT_KEY[pub]=
}
l2tp_dial() { # l2tp_dial LAC: dial, and ping through it
  mark "$1"
  local t=${EPOCHREALTIME/./}
  echo "c vpn" >"/n/$1/run/xl2tpd/l2tp-control"
  wait_for 20 logged "$1" 'remote IP address' || fail "$1: no ppp" || return
  [[ $TEXT =~ 'local  IP address '([0-9.]+) ]] && CLIENT_IP[$1]=${BASH_REMATCH[1]}
  since "$t"
  PPP_S=$REPLY
  wait_for 15 nx "$1" ping -n -c1 -W1 $L2TP_NET.1 || fail "$1: no ping to $L2TP_NET.1" || return
}
lns_path() { # lns_path NODE PATH: its calls go there, and bytes are counted
  local json
  json=$(nx "$1" xl2tpd-control status --json) || fail "status --json exits $?" || return
  [[ $json == *"\"path\":\"$2\""* ]] || fail "not on the $2 path: $json" || return
  [[ $json =~ \"rx_bytes\":[1-9] ]] || fail "nothing counted: $json" || return
}

pool_has() { nx "$1" xl2tpd-control show pool | grep -q "$2"; }

# pty path, then the kernel's: status, reload, ip-up and ip-down, kick, pool.
sc_l2tp_lns() {
  local path global first args
  l2tp_end gw2 pub
  for path in pty kernel; do
    global=
    [ $path = kernel ] || global='force userspace = yes'
    lns_files gw2 "$global" auth require-mschap-v2
    echo 'pass peer = yes' >>/n/gw2/etc/xl2tpd/xl2tpd.conf
    lac_files pub 203.0.113.30 alice secret-a noccp
    # the first address of the pool is bob's; in the second round the next is at the other end of a link that somebody
    # else has made
    first=$L2TP_NET.11
    if [ $path = kernel ]; then
      nx gw2 ip tuntap add dev held mode tun && nx gw2 ip addr add 10.99.0.1 peer $first dev held && nx gw2 ip link set held up ||
        fail "gw2: no interface" || return
      first=$L2TP_NET.12
    fi
    l2tp_start gw2 || fail "gw2: xl2tpd does not start" || return
    l2tp_start pub || fail "pub: xl2tpd does not start" || return
    l2tp_dial pub || { WHY="$path: $WHY"; return 1; }
    note "$path ${CLIENT_IP[pub]} ppp ${PPP_S}s"
    nx gw2 ip link del held 2>/dev/null
    [ "${CLIENT_IP[pub]}" = $first ] || fail "$path: alice has ${CLIENT_IP[pub]}, not $first" || return
    lns_path gw2 $path || return
    nx gw2 xl2tpd-control show calls >"$OUT/show-calls.log" 2>&1
    grep -q " alice .*$path" "$OUT/show-calls.log" || fail "show calls: $(tail -1 "$OUT/show-calls.log")" || return
    mark gw2
    sed -i "s/^local ip = .*/local ip = $L2TP_NET.2/" /n/gw2/etc/xl2tpd/xl2tpd.conf
    sig gw2 HUP xl2tpd
    wait_for 15 logged gw2 'configuration read again' || fail "no reload" || return
    nx pub ping -n -c1 -W2 $L2TP_NET.1 >/dev/null || fail "the call did not survive a reload" || return
    # interface, tty (none in the kernel), speed, addresses, ipparam
    args="ppp0 (/dev/pts/[0-9]+)? [0-9]+ $L2TP_NET.1 $first 203.0.113.10 user=alice"
    wait_for 15 grep -Eq "^ip-up $args" /n/gw2/run/ip-script || fail "ip-up: $(tail -1 /n/gw2/run/ip-script)" || return
    nx gw2 xl2tpd-control kick alice || fail "kick exits $?" || return
    wait_for 15 gone gw2 pppd || fail "pppd stays after kick" || return
    wait_for 15 grep -Eq "^ip-down $args" /n/gw2/run/ip-script || fail "ip-down: $(tail -1 /n/gw2/run/ip-script)" || return
    [[ $(nx gw2 xl2tpd-control show pool) == *'in use: 0'* ]] || fail "an address is not back in the pool" || return
    l2tp_end gw2 pub
  done
}

# How users prove who they are: a dial for each on the same two daemons; in the end a wrong password.
sc_l2tp_auth() {
  local how server client
  l2tp_end gw2 pub
  lns_files gw2 'force userspace = yes'
  lac_files pub 203.0.113.30 bob secret-b
  l2tp_start gw2 && l2tp_start pub || fail "daemons do not start" || return
  for how in pap chap mschap-v2 eap mppe ipv6; do
    client=noccp
    case $how in
    mppe) server=$'require-mschap-v2\nrequire-mppe-128' client=require-mppe-128 ;;
    ipv6) server=$'require-chap\n+ipv6\nnoccp' client=$'noccp\n+ipv6' ;;
    *) server=$'noccp\n'require-$how ;;
    esac
    printf '%s\n' auth "$server" mtu\ 1400 mru\ 1400 lcp-restart\ 1 debug >/n/gw2/etc/ppp/options.lns
    printf '%s\n' "$client" noauth mtu\ 1400 mru\ 1400 lcp-restart\ 1 debug 'name bob' 'password secret-b' \
      >/n/pub/etc/ppp/options.client
    mark gw2
    l2tp_dial pub || { WHY="$how: $WHY"; return 1; }
    [ "${CLIENT_IP[pub]}" = $L2TP_NET.10 ] || fail "$how: bob has ${CLIENT_IP[pub]}" || return
    case $how in
    mppe) wait_for 15 logged gw2 'MPPE 128-bit' || fail "no MPPE" || return ;;
    ipv6) wait_for 15 logged gw2 'remote LL address' || fail "no IPv6CP" || return ;;
    esac
    wait_for 15 pool_has gw2 "$L2TP_NET.10 call [0-9]* user bob" || fail "$how: the pool does not know bob's address" || return
    note "$how ${PPP_S}s"
    echo "d vpn" >/n/pub/run/xl2tpd/l2tp-control
    wait_for 15 gone pub pppd && wait_for 15 gone gw2 pppd || fail "$how: pppd stays" || return
  done
  sed -i 's/^password .*/password wrong/' /n/pub/etc/ppp/options.client
  mark gw2
  echo "c vpn" >/n/pub/run/xl2tpd/l2tp-control
  wait_for 15 logged gw2 'authentication failed: the peer did not prove' || fail "a wrong password is not told" || return
  l2tp_end gw2 pub
}
