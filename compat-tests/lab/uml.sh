#!/usr/bin/env bash
# uml.sh OUTDIR SCRIPT [NAME=VALUE...] - boot one throw-away user-mode Linux and run one bash script in it as root.
#
# OUTDIR is /out inside and the only place of the host the guest can write to.  NAME=VALUE become environment variables
# (they travel on the kernel's command line: no spaces).  The console goes to OUTDIR/console.log.
# LAB_TIMEOUT (seconds, default 600) bounds the whole run.  Exit: what SCRIPT returned, 99 if the guest died before it.
set -u
LAB=$(cd "$(dirname "$0")" && pwd)
OUT=$(mkdir -p "$1" && cd "$1" && pwd)
SCRIPT=$(readlink -f "$2")
shift 2
rm -f "$OUT/status"
mkdir -p "$OUT/.uml"
# ro: the root from the host is never writable.  con0 on pipes: no tty needed.  panic=-1: die instead of hanging.
# uml_dir keeps the folder of pid and mconsole out of $HOME.  In its own process group, so that all of it can be ended.
timeout -k 5 "${LAB_TIMEOUT:-600}" \
  linux.uml mem="${LAB_MEM:-768M}" uml_dir="$OUT/.uml/" \
  root=/dev/root rootfstype=hostfs rootflags=/ ro init="$LAB/guest-init.sh" \
  con=null con0=fd:0,fd:1 ssl=null quiet panic=-1 \
  LAB_DIR="$LAB" LAB_OUT="$OUT" LAB_SCRIPT="$SCRIPT" LAB_T0="$EPOCHREALTIME" "$@" \
  </dev/null >"$OUT/console.log" 2>&1
rm -rf "$OUT/.uml"
exit "$(cat "$OUT/status" 2>/dev/null || echo 99)"
