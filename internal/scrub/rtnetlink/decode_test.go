// SPDX-License-Identifier: Apache-2.0

package rtnetlink

import (
	"encoding/binary"
	"errors"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// attribute encodes one, padded.
func attribute(kind uint16, value []byte) []byte {
	a := binary.NativeEndian.AppendUint16(nil, uint16(attributeSize+len(value)))
	a = binary.NativeEndian.AppendUint16(a, kind)
	a = append(a, value...)
	return append(a, make([]byte, (4-len(a)%4)%4)...)
}

func word(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func linkBody(index uint32, list ...[]byte) []byte {
	body := make([]byte, linkSize)
	binary.NativeEndian.PutUint32(body[4:], index)
	return append(body, slices.Concat(list...)...)
}

func TestLinksAreRead(t *testing.T) {
	t.Parallel()
	name := attribute(linkName, []byte("ci0\x00"))
	const nested = 0x8000 // NLA_F_NESTED
	info := func(kind string, data ...[]byte) []byte {
		return attribute(linkInfo|nested, append(attribute(infoKind, []byte(kind+"\x00")), slices.Concat(data...)...))
	}
	for what, c := range map[string]struct {
		body []byte
		want Link
	}{
		"physical": {linkBody(2, name), Link{Index: 2, Name: "ci0"}},
		"loopback": {func() []byte { b := linkBody(1); copy(b[8:], word(flagLoopback)); return b }(), Link{Index: 1, Loopback: true}},
		"a member": {linkBody(3, name, attribute(linkMaster, word(7)), info("tun")), Link{Index: 3, Name: "ci0", Kind: "tun", Master: 7}},
		"on another": {
			linkBody(3, attribute(linkLower, word(2)), name, info("vlan", attribute(infoData, []byte{1, 2, 3}))),
			Link{Index: 3, Name: "ci0", Kind: "vlan", Lower: 2},
		},
		"the end of a pair": {
			linkBody(3, attribute(linkLower, word(2)), attribute(linkSpace, word(0)), name, info("veth")),
			Link{Index: 3, Name: "ci0", Kind: "veth", Lower: 2, Afar: true},
		},
		"a vxlan": {
			linkBody(3, name, info("vxlan", attribute(infoData|nested, attribute(vxlanLower, word(9))))),
			Link{Index: 3, Name: "ci0", Kind: "vxlan", Lower: 9},
		},
	} {
		got, err := parseLink(c.body)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
		}
	}
}

func TestRoutesAreRead(t *testing.T) {
	t.Parallel()
	head := []byte{familyIPv6, 64, 0, 0, 0, 0, 0, unicast, 0, 0, 0, 0}
	path := func(link uint32, more ...byte) []byte {
		p := binary.NativeEndian.AppendUint16(nil, uint16(pathSize+len(more)))
		p = append(p, 0, 0)
		p = binary.NativeEndian.AppendUint32(p, link)
		return append(p, more...)
	}
	paths := attribute(routePaths, slices.Concat(path(4, attribute(5, word(1))...), path(5)))
	got, err := parseRoute(slices.Concat(head, attribute(routeLink, word(3)), paths, attribute(routeHop, word(8))))
	want := Route{IPv6: true, Bits: 64, Unicast: true, Links: []int{3, 4, 5}, Hop: 8}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	hop, err := parseHop(slices.Concat(make([]byte, hopSize), attribute(hopID, word(8)), attribute(hopGroup, slices.Concat(word(1), word(0), word(2), word(0))), attribute(hopLink, word(4))))
	if diff := cmp.Diff(Hop{ID: 8, Link: 4, Group: []uint32{1, 2}}, hop); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestAnswersEndAsTheKernelSays(t *testing.T) {
	t.Parallel()
	reply := func(kind, flags uint16, sequence uint32, body ...byte) []byte {
		m := request(kind, flags, sequence, body)
		return append(m, make([]byte, (4-len(m)%4)%4)...)
	}
	none, refused := word(0), word(^uint32(0)) // -1 is EPERM
	for what, c := range map[string]struct {
		datagram []byte
		messages int
		changed  bool
		want     error
	}{
		"done":                       {slices.Concat(reply(typeNewLink, 0, 5, 1, 2, 3), reply(typeNewLink, 0, 5), reply(typeDone, 0, 5, none...)), 2, false, nil},
		"done without a code":        {reply(typeDone, 0, 5), 0, false, nil},
		"changed meanwhile":          {slices.Concat(reply(typeNewLink, flagInterrupted, 5), reply(typeDone, 0, 5)), 1, true, nil},
		"another's answer":           {slices.Concat(reply(typeError, 0, 4, refused...), reply(typeDone, 0, 5)), 0, false, nil},
		"refused":                    {reply(typeError, 0, 5, refused...), 0, false, syscall.EPERM},
		"refused at the end":         {reply(typeDone, 0, 5, refused...), 0, false, syscall.EPERM},
		"cut in the header":          {reply(typeDone, 0, 5)[:10], 0, false, errShort},
		"cut in the body":            {reply(typeDone, 0, 5, none...)[:18], 0, false, errShort},
		"a refusal without a reason": {reply(typeError, 0, 5), 0, false, errShort},
	} {
		a := answer{sequence: 5}
		err := a.take(c.datagram)
		if !errors.Is(err, c.want) || len(a.messages) != c.messages || a.changed != c.changed || err == nil && !a.ended {
			t.Errorf("%s: %v, %+v; want %+v", what, err, a, c)
		}
	}
}

func TestWhatIsCutShortIsRefused(t *testing.T) {
	t.Parallel()
	whole := linkBody(3, attribute(linkName, []byte("ci0\x00")), attribute(linkMaster, word(7)))
	for n := range whole {
		if _, err := parseLink(whole[:n]); err == nil && n != linkSize && n != linkSize+8 {
			t.Errorf("a link of %d bytes is understood", n)
		}
	}
	for _, list := range [][]byte{{3, 0, 1, 0}, {0, 0, 0, 0}, {9, 0, 1, 0, 0}} {
		if err := attributes(list, func(uint16, []byte) error { return nil }); !errors.Is(err, errShort) {
			t.Errorf("%v: %v", list, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(request(typeNewLink, 0, 1, linkBody(3, attribute(linkName, []byte("ci0\x00")), attribute(linkInfo, attribute(infoKind, []byte("vxlan\x00"))))))
	f.Add(request(typeNewRoute, 0, 1, append(make([]byte, routeSize), attribute(routePaths, make([]byte, 16))...)))
	f.Add(request(typeNewHop, 0, 1, append(make([]byte, hopSize), attribute(hopGroup, make([]byte, 17))...)))
	f.Add(request(typeDone, 0, 1, word(0)))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		a := answer{sequence: 1}
		_ = a.take(datagram)
		for _, m := range a.messages {
			l, err := parseLink(m.body)
			if err == nil && len(l.Name)+len(l.Kind) > len(m.body) {
				t.Errorf("%+v of %d bytes", l, len(m.body))
			}
			r, err := parseRoute(m.body)
			if err == nil && len(r.Links)*wordSize > len(m.body) {
				t.Errorf("%+v of %d bytes", r, len(m.body))
			}
			u, err := parseUnix(m.body)
			if err == nil && len(u.Name) > len(m.body) {
				t.Errorf("%+v of %d bytes", u, len(m.body))
			}
			h, err := parseHop(m.body)
			if err == nil && len(h.Group)*groupSize > len(m.body) {
				t.Errorf("%+v of %d bytes", h, len(m.body))
			}
		}
	})
}

func TestSocketsAreRead(t *testing.T) {
	t.Parallel()
	body := append([]byte{familyUnix}, make([]byte, unixSize-1)...)
	file := attribute(unixFile, slices.Concat(word(7), word(254<<minorBits|3)))
	for what, c := range map[string]struct {
		body []byte
		want UnixSocket
		bad  bool
	}{
		"with a file":    {slices.Concat(body, attribute(unixName, []byte("run/x\x00")), file), UnixSocket{"run/x", "254:3", 7}, false},
		"abstract":       {slices.Concat(body, attribute(unixName, []byte("\x00x"))), UnixSocket{Name: "\x00x"}, false},
		"without a name": {body, UnixSocket{}, false},
		"cut short":      {slices.Concat(body, attribute(unixFile, word(7))), UnixSocket{}, true},
		"of another":     {make([]byte, unixSize), UnixSocket{}, true},
	} {
		got, err := parseUnix(c.body)
		if diff := cmp.Diff(c.want, got); diff != "" || (err != nil) != c.bad {
			t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
		}
	}
}
