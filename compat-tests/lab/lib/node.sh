# node.sh - nodes: how to make them and how to run something in them.  Sourced inside the guest.
#
# A node is a machine: network namespace, process namespace (its process 1 is init.pl, which is its syslog daemon too)
# and a private root, an overlay of tmpfs over LAYER over the host's root.  `nx NODE cmd` runs cmd there; files of the
# node are /n/NODE/... from outside.  One fork+exec costs about 30 ms in user-mode Linux, so the work is queued and done
# in a few batched calls, and waiting and searching use shell builtins only.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
OUT=/out
mkdir -p /run/node
mkfifo /run/pause
exec 9<>/run/pause

pause() { read -r -t "$1" -u 9 _ || return 0; } # sleep without fork and exec
usec() { REPLY=${EPOCHREALTIME/./}; }
# since T0_USEC: REPLY = seconds since then, two decimals
since() { local d=$((${EPOCHREALTIME/./} - $1)); printf -v REPLY '%d.%02d' $((d / 1000000)) $((d % 1000000 / 10000)); }
T0=${LAB_T0/./}
say() { since "$T0"; echo "[$REPLY] $*"; }

# wait_for SECONDS COMMAND...: poll until the command succeeds; 1 when the time is over
wait_for() {
  local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "${EPOCHREALTIME/./}" -lt $end ] || return 1
    pause 0.05
  done
}

declare -A NET_BATCH INIT_PID HAS_INIT
NODES=() NETNS="" LINKS="" FSTAB=""

node() { # node NAME [LAYER]: queue a node.  With a LAYER (a folder of roots/, or "host" for none) it gets a process 1
  local n=$1 r=/n/$1 lower=
  [ -z "${2:-}" ] || HAS_INIT[$n]=1
  [ -z "${2:-}" ] || [ "$2" = host ] || lower=/lab/roots/$2:
  NODES+=("$n")
  NETNS+="netns add $n"$'\n'
  FSTAB+="node-$n $r overlay lowerdir=${lower}/n/.host,upperdir=/n/.up/$n,workdir=/n/.wk/$n 0 0
/dev $r/dev none rbind 0 0
run $r/run tmpfs mode=755 0 0
tmp $r/tmp tmpfs mode=1777 0 0
"
  NET_BATCH[$n]+=$'link set dev lo up\n'
}

# link NODE1 IF1 ADDR1 NODE2 IF2 ADDR2 (address "-": none).  `name` and `dev` are spelled out because ip abbreviates.
link() {
  LINKS+="link add name $2 netns $1 type veth peer name $5 netns $4"$'\n'
  [ "$3" = - ] || NET_BATCH[$1]+="addr add $3 dev $2"$'\n'
  [ "$6" = - ] || NET_BATCH[$4]+="addr add $6 dev $5"$'\n'
  NET_BATCH[$1]+="link set dev $2 up"$'\n'
  NET_BATCH[$4]+="link set dev $5 up"$'\n'
}
bridge() { # bridge NODE NAME ADDR: queue a bridge;  then  port NODE BRIDGE IF
  NET_BATCH[$1]+="link add name $2 type bridge"$'\n'"addr add $3 dev $2"$'\n'"link set dev $2 up"$'\n'
}
port() { NET_BATCH[$1]+="link set dev $3 master $2"$'\n'; }
gateway() { NET_BATCH[$1]+="route add default via $2"$'\n'; }

net_commit() { # make everything queued
  local n f dirs=()
  # the IPv4 settings of a new namespace are copied from the first one: once, here
  for f in {all,default}/{accept,send}_redirects; do echo 0 >"/proc/sys/net/ipv4/conf/$f"; done
  echo 1 >/proc/sys/net/ipv4/ip_forward
  for n in "${NODES[@]}"; do dirs+=("/n/$n" "/n/.up/$n" "/n/.wk/$n"); done
  mkdir -p "${dirs[@]}"
  printf %s "$FSTAB" >/run/fstab # mount -T wants a regular file
  mount -a -T /run/fstab || return
  dirs=()
  for n in "${NODES[@]}"; do dirs+=("/n/$n/run/lock" "/n/$n/run/netns" "/n/$n/run/xl2tpd" "/n/$n/run/pluto"); done
  mkdir -p "${dirs[@]}"
  ip -batch - <<<"$NETNS$LINKS" || return
  for n in "${!NET_BATCH[@]}"; do ip -n "$n" -batch - <<<"${NET_BATCH[$n]}" || return; done
  for n in "${!HAS_INIT[@]}"; do node_boot "$n"; done
  for n in "${!HAS_INIT[@]}"; do node_wait "$n" || return; done
}

node_boot() { # start process 1 of a node (in the background, see node_wait)
  rm -f "/n/$1/run/ready"
  nsenter --net="/run/netns/$1" unshare --pid --fork perl /lab/init.pl "$1" </dev/null >>"$OUT/init.err" 2>&1 &
  disown
}
node_wait() {
  wait_for 20 test -s "/n/$1/run/ready" || { echo "node $1 does not come up"; return 1; }
  read -r 'INIT_PID[$1]' <"/n/$1/run/ready" || [ -n "${INIT_PID[$1]}" ]
}
xfrm_flush() { ip -n "$1" xfrm state flush; ip -n "$1" xfrm policy flush; }
node_crash() { # the machine loses power: every process dies at once and says nothing; then it boots again
  kill -9 "${INIT_PID[$1]}"
  wait_for 5 eval "! [ -e /proc/${INIT_PID[$1]}/ns/pid ]"
  umount -l "/n/$1/proc"
  xfrm_flush "$1"
  rm -rf "/n/$1"/run/{xl2tpd,pluto}/* "/n/$1"/run/*.pid "/n/$1"/run/charon*
  node_boot "$1"
  node_wait "$1"
}

nx() { # nx NODE COMMAND...: run it in the node
  local n=$1
  shift
  nsenter --net="/run/netns/$n" ${HAS_INIT[$n]:+--pid=/proc/${INIT_PID[$n]}/ns/pid} --root="/n/$n" --wd="/n/$n/" "$@"
}

# procs NODE NAME: REPLY = the pids (in the node) of the processes with that name; 1 if there are none.  A zombie counts
# only where the server under test runs: xl2tpd 1.3.18 now and then forgets to reap a pppd.
procs() {
  local d c
  REPLY=
  for d in "/n/$1"/proc/[0-9]*; do
    { read -r c <"$d/stat"; } 2>/dev/null || continue
    [[ $c == *" ($2) "* ]] || continue
    case $1 in server | gw2) ;; *) [[ $c != *") Z "* ]] || continue ;; esac
    REPLY+="${d##*/} "
  done
  [ -n "$REPLY" ]
}
gone() { local n=$1 p; shift; for p; do ! procs "$n" "$p" || return 1; done; }
sig() { # sig NODE SIGNAL NAME: signal every process of that name
  procs "$1" "$3" || return 0
  # shellcheck disable=SC2086
  nx "$1" kill "-$2" $REPLY
}

# mark NODE: remember the end of the node's log;  logged NODE REGEX: is there a line since then?  REPLY = that line
declare -A MARK
slurp() { local a=(); mapfile -d '' a <"$1" 2>/dev/null; TEXT=${a[0]:-}; }
mark() { local n; for n; do slurp "/n/$n/var/log/syslog"; MARK[$n]=${#TEXT}; done; }
logged() {
  local l
  slurp "/n/$1/var/log/syslog"
  TEXT=${TEXT:${MARK[$1]:-0}}
  [[ $TEXT =~ $2 ]] || return 1
  # the whole line around the match, within one line only
  while IFS= read -r l; do
    [[ $l =~ $2 ]] && { REPLY=$l; return 0; }
  done <<<"$TEXT"
  return 1
}
