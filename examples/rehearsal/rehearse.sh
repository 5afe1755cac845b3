#!/bin/sh -e
# Rehearses the recipe of the change that is checked out. REF is the ref as the CI itself knows it, never as the change tells;
# CI_ADDRESS is this machine's address as the agents reach it.
pitcrew recipe check cleanup.yaml
exec pitcrew rehearse cleanup.yaml \
	--image jenkins/jenkins:lts --bind "$CI_ADDRESS" \
	--ref "$REF" \
	--junit rehearsal.xml --report rehearsal.html
