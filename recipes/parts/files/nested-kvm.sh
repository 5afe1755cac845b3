#!/bin/sh
# Loads the kvm module anew where it does not nest, so that it takes the option that was placed. Fails if it still does not.
set -eu

nests() { case $(cat "/sys/module/$1/parameters/nested") in Y | 1) ;; *) return 1 ;; esac; }

for module in kvm_intel kvm_amd; do
	[ -e "/sys/module/$module/parameters/nested" ] || continue
	if ! nests "$module"; then
		modprobe -r "$module"
		modprobe "$module"
		nests "$module"
		echo "$module was loaded anew and nests now"
	fi
done
