// SPDX-License-Identifier: Apache-2.0

// Package rtnetlink asks the Linux kernel for its links and routes, and removes links (netlink(7), rtnetlink(7)). It also asks for the
// files of unix sockets (sock_diag(7)), in the same way.
//
// What the kernel sends is read with care for its lengths all the same: a program that runs as root must not fall over a
// message that it does not understand. Attributes that are not known here are skipped, as the protocol wants it.
package rtnetlink

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Link is a network interface.
type Link struct {
	Index int
	Name  string
	// Kind is what made it: bridge, veth, vlan. Physical devices have none.
	Kind string
	// Loopback is whether it leads to the machine itself.
	Loopback bool
	// Master is the bridge, bond or VRF that it is a member of, 0 if none.
	Master int
	// Lower is the link that it stands on, of a veth its other end; 0 if there is none.
	Lower int
	// Afar is whether Lower is the number of a link in another namespace.
	Afar bool
}

// Route is a route of any table.
type Route struct {
	IPv6 bool
	// Bits is how much of an address has to agree: 0 for a default route.
	Bits int
	// Unicast is whether packets are sent on, not refused or kept.
	Unicast bool
	// Links are the links that they may leave by.
	Links []int
	// Hop is the number of the object that says so instead, 0 if there is none.
	Hop uint32
}

// Hop is a next hop that routes refer to by its number, or a group of those (Linux 5.3).
type Hop struct {
	ID    uint32
	Link  int
	Group []uint32
}

// The numbers of messages and attributes, from the kernel's include/uapi/linux: netlink.h, rtnetlink.h, if_link.h,
// nexthop.h.
const (
	headerSize, linkSize, routeSize, hopSize, attributeSize = 16, 16, 12, 8, 4

	typeError, typeDone             = 2, 3
	typeNewLink, typeNewRoute       = 16, 24
	typeDelLink                     = 17
	typeGetLink, typeGetRoute       = 18, 26
	typeNewHop, typeGetHop          = 104, 106
	flagRequest, flagAck, flagDump  = 1, 4, 0x300
	flagInterrupted                 = 0x10
	familyIPv4, familyIPv6          = 2, 10
	flagLoopback                    = 8
	unicast                         = 1
	attributeMask                   = 0x3fff
	linkName, linkLower, linkMaster = 3, 5, 10
	linkInfo, linkSpace             = 18, 37
	infoKind, infoData              = 1, 2
	vxlanLower                      = 3
	routeLink, routePaths, routeHop = 4, 9, 30
	hopID, hopGroup, hopLink        = 1, 2, 5
	pathSize, groupSize, wordSize   = 8, 8, 4
)

var errShort = errors.New("the kernel's answer is cut short")

// message is one message of the kernel.
type message struct {
	kind, flags uint16
	sequence    uint32
	body        []byte
}

// split takes the first message off a datagram.
func split(datagram []byte) (m message, rest []byte, err error) {
	if len(datagram) < headerSize {
		return message{}, nil, errShort
	}
	size := int(binary.NativeEndian.Uint32(datagram))
	if size < headerSize || size > len(datagram) {
		return message{}, nil, errShort
	}
	m.kind = binary.NativeEndian.Uint16(datagram[4:])
	m.flags = binary.NativeEndian.Uint16(datagram[6:])
	m.sequence = binary.NativeEndian.Uint32(datagram[8:])
	m.body = datagram[headerSize:size]
	return m, datagram[min(aligned(size), len(datagram)):], nil
}

func aligned(size int) int { return (size + 3) &^ 3 }

// attributes calls f with each attribute of a list.
func attributes(list []byte, f func(kind uint16, value []byte) error) error {
	for len(list) > 0 {
		if len(list) < attributeSize {
			return errShort
		}
		size := int(binary.NativeEndian.Uint16(list))
		if size < attributeSize || size > len(list) {
			return errShort
		}
		if err := f(binary.NativeEndian.Uint16(list[2:])&attributeMask, list[attributeSize:size]); err != nil {
			return err
		}
		list = list[min(aligned(size), len(list)):]
	}
	return nil
}

// number reads an attribute that is one word into to.
func number[T int | uint32](value []byte, to *T) error {
	if len(value) < wordSize {
		return errShort
	}
	*to = T(binary.NativeEndian.Uint32(value))
	return nil
}

// text is an attribute that ends with a zero byte.
func text(value []byte) string {
	before, _, _ := bytes.Cut(value, []byte{0})
	return string(before)
}

func parseLink(body []byte) (Link, error) {
	if len(body) < linkSize {
		return Link{}, errShort
	}
	l := Link{
		Index:    int(int32(binary.NativeEndian.Uint32(body[4:]))), //nolint:gosec // the kernel's type
		Loopback: binary.NativeEndian.Uint32(body[8:])&flagLoopback != 0,
	}
	var data []byte
	err := attributes(body[linkSize:], func(kind uint16, value []byte) error {
		switch kind {
		case linkName:
			l.Name = text(value)
		case linkLower:
			return number(value, &l.Lower)
		case linkMaster:
			return number(value, &l.Master)
		case linkSpace:
			l.Afar = true
		case linkInfo:
			return attributes(value, func(kind uint16, value []byte) error {
				switch kind {
				case infoKind:
					l.Kind = text(value)
				case infoData:
					data = value
				}
				return nil
			})
		}
		return nil
	})
	if err == nil && l.Kind == "vxlan" { // which tells what it stands on in a place of its own
		err = attributes(data, func(kind uint16, value []byte) error {
			if kind == vxlanLower && l.Lower == 0 {
				return number(value, &l.Lower)
			}
			return nil
		})
	}
	return l, err
}

func parseRoute(body []byte) (Route, error) {
	if len(body) < routeSize {
		return Route{}, errShort
	}
	r := Route{IPv6: body[0] == familyIPv6, Bits: int(body[1]), Unicast: body[7] == unicast}
	err := attributes(body[routeSize:], func(kind uint16, value []byte) error {
		switch kind {
		case routeLink:
			var link int
			err := number(value, &link)
			r.Links = append(r.Links, link)
			return err
		case routeHop:
			return number(value, &r.Hop)
		case routePaths:
			links, err := parsePaths(value)
			r.Links = append(r.Links, links...)
			return err
		}
		return nil
	})
	return r, err
}

// parsePaths returns the links of a route with several ways (struct rtnexthop).
func parsePaths(list []byte) ([]int, error) {
	var links []int
	for len(list) > 0 {
		if len(list) < pathSize {
			return nil, errShort
		}
		size := int(binary.NativeEndian.Uint16(list))
		if size < pathSize || size > len(list) {
			return nil, errShort
		}
		links = append(links, int(binary.NativeEndian.Uint32(list[4:])))
		list = list[min(aligned(size), len(list)):]
	}
	return links, nil
}

func parseHop(body []byte) (Hop, error) {
	if len(body) < hopSize {
		return Hop{}, errShort
	}
	var h Hop
	err := attributes(body[hopSize:], func(kind uint16, value []byte) error {
		switch kind {
		case hopID:
			return number(value, &h.ID)
		case hopLink:
			return number(value, &h.Link)
		case hopGroup:
			for ; len(value) >= groupSize; value = value[groupSize:] {
				h.Group = append(h.Group, binary.NativeEndian.Uint32(value))
			}
		}
		return nil
	})
	return h, err
}

// request makes a message: body is the fixed part of its kind.
func request(kind, flags uint16, sequence uint32, body []byte) []byte {
	m := make([]byte, headerSize, headerSize+len(body))
	binary.NativeEndian.PutUint32(m, uint32(headerSize+len(body))) //nolint:gosec // a few bytes
	binary.NativeEndian.PutUint16(m[4:], kind)
	binary.NativeEndian.PutUint16(m[6:], flags|flagRequest)
	binary.NativeEndian.PutUint32(m[8:], sequence)
	return append(m, body...)
}

// parseAll reads those messages of a kind.
func parseAll[T any](messages []message, kind uint16, parse func([]byte) (T, error)) ([]T, error) {
	var all []T
	for _, m := range messages {
		if m.kind != kind {
			continue
		}
		one, err := parse(m.body)
		if err != nil {
			return nil, fmt.Errorf("message of type %d: %w", kind, err)
		}
		all = append(all, one)
	}
	return all, nil
}
