#!/bin/sh -e
# Rehearses the recipe of the change that is checked out. REF is the ref as the CI itself knows it, never as the change tells.
pitcrew recipe check cleanup.yaml
exec pitcrew rehearse cleanup.yaml \
	--image jenkins/jenkins:lts --bind "$CI_ADDRESS" \
	--ref "$REF" \
	--junit rehearsal.xml --report rehearsal.html
