# Cygnet's make targets; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TARGET_DIR
BIN = $(CARGO_TARGET_DIR)/release
ROOT = $(DESTDIR)$(PREFIX)
# configuration goes to /etc when the prefix is /usr, under the prefix otherwise; ETC=no leaves it out
ETCDIR = $(DESTDIR)$(if $(filter /usr /usr/,$(PREFIX)),/etc,$(PREFIX)/etc)
ETC ?= yes
SERVER ?= cygnet
SCENARIO ?=
TIME ?= 60
TARGET ?=
LAB = compat-tests/lab

.PHONY: all build help deps demo check lab bench fuzz install uninstall clean

all: build

build:
	$(CARGO) build --release --workspace --locked

help:
	@echo 'all          release build'
	@echo 'demo         the path from a client to the LAN, told step by step (root)'
	@echo 'check        format, lints, tests, dependencies, man pages, lab; last line: N passed, N failed (root)'
	@echo 'lab          the lab alone: SCENARIO="direct nat" SERVER=cygnet|libreswan (root)'
	@echo 'bench        handshakes, conns, L2TP and start-to-ping, ours and libreswan + xl2tpd, as ratios (root)'
	@echo 'fuzz         every fuzz target, TIME=60 seconds each: needs nightly Rust and cargo-fuzz, no part of check'
	@echo 'deps         the Debian packages needed to build and to test'
	@echo 'install      DESTDIR= PREFIX=/usr/local ETC=yes|no;  uninstall takes it away again'

# what a build and the tests of `cargo test` need from Debian; the lab installs what it needs itself (compat-tests/lab/prepare.sh)
deps:
	@missing=; for p in libssl-dev pkg-config gcc make mandoc openssl procps; do \
	  dpkg-query -W -f='$${db:Status-Abbrev}' $$p 2>/dev/null | grep -q '^ii' || missing+=" $$p"; done; \
	if [ -n "$$missing" ]; then apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; fi

demo: deps build
	$(LAB)/demo.sh

check: deps
	$(LAB)/../check.sh

lab: build
	SERVER=$(SERVER) $(LAB)/run.sh $(SCENARIO)

bench: build
	$(LAB)/bench-ike.sh
	$(LAB)/bench-conns.sh
	$(LAB)/bench-l2tp.sh
	$(LAB)/bench.sh

fuzz:
	TIME=$(TIME) compat-tests/fuzz/run.sh $(TARGET)

# Existing configuration is never overwritten.  The sub-commands of ipsec are links to it in lib/ipsec.
install:
	@for b in pluto ipsec xl2tpd xl2tpd-control; do \
	  [ -x "$(BIN)/$$b" ] || { echo "$(BIN)/$$b is missing: make all first" >&2; exit 1; }; done
	install -d $(ROOT)/sbin $(ROOT)/lib/ipsec
	install -m 755 $(BIN)/ipsec $(BIN)/xl2tpd $(BIN)/xl2tpd-control $(ROOT)/sbin/
	ln -sfn xl2tpd $(ROOT)/sbin/l2tpd
	install -m 755 $(BIN)/pluto $(ROOT)/lib/ipsec/
	@for c in $$($(BIN)/ipsec --list-commands); do \
	  [ "$$c" = pluto ] || ln -sfn ../../sbin/ipsec "$(ROOT)/lib/ipsec/$$c"; done
	@if [ -d man ]; then for m in man/*.[1-8]; do [ -e "$$m" ] || continue; \
	  install -D -m 644 "$$m" "$(ROOT)/share/man/man$${m##*.}/$${m##*/}"; done; fi
	@[ "$(ETC)" = no ] || [ ! -d etc ] || { cd etc && find . -type f ! -path './init.d/*' ! -path './systemd/*' | \
	  while read -r f; do m=644; case "$$f" in *secrets) m=600;; esac; \
	  [ -e "$(ETCDIR)/$$f" ] || install -D -m "$$m" "$$f" "$(ETCDIR)/$$f"; done; }
	@[ "$(ETC)" = no ] || for d in certs cacerts aacerts acerts crls ocspcerts private; do \
	  m=755; [ "$$d" != private ] || m=700; \
	  [ -d "$(ETCDIR)/ipsec.d/$$d" ] || install -d -m "$$m" "$(ETCDIR)/ipsec.d/$$d"; done
	@[ ! -d etc/systemd ] || for u in etc/systemd/*.service; do [ -e "$$u" ] || continue; \
	  install -D -m 644 "$$u" "$(ROOT)/lib/systemd/system/$${u##*/}"; done
	@[ "$(ETC)" = no ] || [ ! -d etc/init.d ] || for u in etc/init.d/*; do \
	  install -D -m 755 "$$u" "$(ETCDIR)/init.d/$${u##*/}"; done

uninstall:
	for c in $$($(BIN)/ipsec --list-commands); do rm -f "$(ROOT)/lib/ipsec/$$c"; done
	rm -f $(ROOT)/lib/ipsec/pluto $(ROOT)/sbin/{ipsec,xl2tpd,xl2tpd-control,l2tpd}
	-rmdir $(ROOT)/lib/ipsec
	@[ ! -d man ] || for m in man/*.[1-8]; do rm -f "$(ROOT)/share/man/man$${m##*.}/$${m##*/}"; done
	@[ ! -d etc/systemd ] || for u in etc/systemd/*.service; do rm -f "$(ROOT)/lib/systemd/system/$${u##*/}"; done

clean:
	$(CARGO) clean
	rm -rf $(LAB)/out $(LAB)/roots/cygnet
