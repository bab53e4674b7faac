# bench-conns-guest.sh - runs inside the guest: two daemons, one after the other, each given COUNTS conns by its own
# addconn, and asked for the status by its own whack.  A program that does nothing is timed too, and taken off.
. /lab/lib/node.sh
node ours cygnet
node theirs libreswan
for n in ours theirs; do NET_BATCH[$n]+=$'addr add 192.0.2.1/24 dev lo\n'; done
net_commit || exit 1
declare -A LAYER=([ours]=cygnet [theirs]=libreswan)
WHACK=() ADDCONN=()
tools() { # tools NODE: its programs themselves, without the shell script in front of libreswan's
  case $1 in
  ours) WHACK=(/usr/sbin/ipsec whack) ADDCONN=(/usr/sbin/ipsec addconn --addall) ;;
  theirs) WHACK=(/usr/libexec/ipsec/whack) ADDCONN=(/usr/libexec/ipsec/addconn --autoall) ;;
  esac
}
conf() { # conf COUNT
  printf 'config setup\n\nconn %%default\n\tauthby=secret\n\tleft=192.0.2.1\n\ttype=tunnel\n\tauto=add\n\n'
  local i
  for ((i = 0; i < $1; i++)); do
    printf 'conn c%d\n\tright=10.%d.%d.%d\n\trightsubnet=172.%d.%d.0/24\n\n' "$i" $((i / 62500)) $((i / 250 % 250)) \
      $((i % 250 + 1)) $((16 + i / 62500)) $((i / 250 % 250))
  done
}
kib() { # kib NODE: REPLY = resident memory of its pluto
  local p k v
  procs "$1" pluto
  p=${REPLY%% *}
  while read -r k v _; do [ "$k" != VmRSS: ] || REPLY=$v; done <"/n/$1/proc/$p/status"
}
timed() { # timed NODE COMMAND...: REPLY = microseconds above those of a program that does nothing
  local n=$1 t0 t1 t2
  shift
  usec; t0=$REPLY
  nx "$n" /bin/true
  usec; t1=$REPLY
  nx "$n" "$@" >/run/answer 2>>"$OUT/$n.err" || say "$n: $1 $2 ended with $?"
  usec; t2=$REPLY
  REPLY=$((t2 - t1 - t1 + t0))
}
rc=0
for count in ${COUNTS//,/ }; do
  conf "$count" >/run/conf
  for n in ours theirs; do
    tools $n
    e=/n/$n/etc
    # the daemon starts without conns: loading them is what is timed
    printf 'config setup\n' >"$e/ipsec.conf"
    printf ': PSK "for the lab only"\n' >"$e/ipsec.secrets"
    chmod 600 "$e/ipsec.secrets"
    rm -f "/n/$n/run/pluto/pluto.pid" "/n/$n/run/pluto/pluto.ctl"
    case $n in
    ours) nx $n timeout 30 ipsec setup start >>"$OUT/$n.log" 2>&1 ;;
    theirs)
      [ -e "/n/$n/var/lib/ipsec/nss/cert9.db" ] || nx $n ipsec initnss >>"$OUT/$n.log" 2>&1
      nx $n ipsec pluto --config /etc/ipsec.conf >>"$OUT/$n.log" 2>&1
      ;;
    esac
    wait_for 30 nx $n "${WHACK[@]}" --briefstatus || { say "$n does not start"; rc=1; continue; }
    cp /run/conf "$e/ipsec.conf"
    kib $n; before=$REPLY
    timed $n "${ADDCONN[@]}"; load=$REPLY
    kib $n; after=$REPLY
    timed $n "${WHACK[@]}" --status; status=$REPLY
    mapfile -t lines </run/answer
    echo "${LAYER[$n]} $count $load $status $before $after ${#lines[@]}" >>"$OUT/results"
    sig $n KILL pluto
    pause 0.5
  done
done
exit $rc
