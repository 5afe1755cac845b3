// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// box is a container of the fake engine.
type box struct {
	name, image, state string
	labels             map[string]string
	env, uses          []string // uses are IDs whose network it has
	volumes, networks  []string
	pod                string
	id                 string
}

// fakeImage is an image of the fake engine.
type fakeImage struct {
	id, parent    string
	tags, digests []string
	labels        map[string]string
	built, tagged time.Time
	size, shared  int64
	layers        []string
}

// fakeEngine does what a container engine does, as far as it can be seen through its socket; above all it refuses as
// one does.
type fakeEngine struct {
	socket string
	lock   sync.Mutex
	boxes  map[string]box // by ID
	pods   map[string]map[string]string
	// volumes and networks are labels by name.
	volumes, networks map[string]map[string]string
	images            map[string]fakeImage // by ID
	cache             []map[string]any
	stop              func() // ends it as if it were killed
	// faults answer instead, by method and path.
	faults map[string]http.HandlerFunc
	did    []string // what it was asked to change
	podman bool
	api    string
}

// idOf makes an identity out of a name.
func idOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

func newFakeEngine(t *testing.T) *fakeEngine {
	t.Helper()
	e := &fakeEngine{
		socket: filepath.Join(t.TempDir(), "engine.sock"), api: "1.41",
		boxes: map[string]box{}, pods: map[string]map[string]string{}, images: map[string]fakeImage{}, faults: map[string]http.HandlerFunc{},
		volumes: map[string]map[string]string{}, networks: map[string]map[string]string{"bridge": nil, "host": nil, "none": nil},
	}
	l, err := net.Listen("unix", e.socket)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as with an engine that is killed
	server := &http.Server{Handler: e}
	go func() { _ = server.Serve(l) }()
	e.stop = func() { server.Close() }
	t.Cleanup(e.stop)
	return e
}

func (e *fakeEngine) add(boxes ...box) {
	for _, b := range boxes {
		if b.id == "" {
			b.id = idOf(b.name)
		}
		if b.state == "" {
			b.state = "running"
		}
		b.image = idOf(b.image)
		e.boxes[b.id] = b
	}
}

func (e *fakeEngine) addImages(pictures ...fakeImage) {
	for _, p := range pictures {
		if p.built.IsZero() {
			p.built = time.Now().Add(-time.Hour)
		}
		name := p.id
		p.id = idOf(name)
		if p.parent != "" {
			p.parent = idOf(p.parent)
		}
		e.images[p.id] = p
	}
}

// names is all that the engine has.
func (e *fakeEngine) names() []string {
	e.lock.Lock()
	defer e.lock.Unlock()
	var all []string
	for _, b := range e.boxes {
		all = append(all, "container "+b.name)
	}
	for name := range e.pods {
		all = append(all, "pod "+name)
	}
	for name := range e.volumes {
		all = append(all, "volume "+name)
	}
	for name := range e.networks {
		all = append(all, "network "+name)
	}
	for _, p := range e.images {
		all = append(all, "image "+strings.Join(append(slices.Clone(p.tags), p.digests...), " "))
	}
	slices.Sort(all)
	return all
}

func refuse(w http.ResponseWriter, status int, why string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": why})
}

func (e *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.lock.Lock()
	fault := e.faults[r.Method+" "+r.URL.Path]
	if r.Method != "GET" {
		e.did = append(e.did, r.Method+" "+r.URL.RequestURI())
	}
	e.lock.Unlock()
	if fault != nil {
		fault(w, r)
		return
	}
	e.lock.Lock()
	defer e.lock.Unlock()
	path, versioned := strings.CutPrefix(r.URL.Path, "/v"+e.api)
	switch {
	case r.URL.Path == "/_ping":
		w.Header().Set("Api-Version", e.api)
		if e.podman {
			w.Header().Set("Libpod-Api-Version", "4.3.1")
		}
	case r.URL.Path == "/version":
		_ = json.NewEncoder(w).Encode(map[string]any{"ApiVersion": e.api, "MinAPIVersion": "1.12"})
	case versioned:
		kind, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		e.serve(w, r, r.Method+" "+kind, rest)
	case strings.HasPrefix(r.URL.Path, "/v4.3.1/libpod/pods/") && e.podman:
		e.servePods(w, r, strings.TrimPrefix(r.URL.Path, "/v4.3.1/libpod/pods/"))
	default:
		refuse(w, 400, "no such version of the API: "+r.URL.Path)
	}
}

func (e *fakeEngine) serve(w http.ResponseWriter, r *http.Request, what, name string) {
	switch what {
	case "GET containers":
		e.tell(w, strings.TrimSuffix(name, "/json"))
	case "POST containers":
		if b, ok := e.boxes[strings.TrimSuffix(name, "/kill")]; !ok {
			refuse(w, 404, "no such container")
		} else if b.state != "running" {
			refuse(w, 409, "container is not running")
		}
	case "DELETE containers":
		e.removeBox(w, r, name)
	case "GET volumes":
		var list []map[string]any
		for name, labels := range e.volumes {
			list = append(list, map[string]any{"Name": name, "Labels": labels, "CreatedAt": time.Now().Add(-time.Hour).Format(time.RFC3339)})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"Volumes": list})
	case "DELETE volumes":
		e.drop(w, e.volumes, name, func(b box) []string { return b.volumes })
	case "GET networks":
		list := []map[string]any{}
		for name, labels := range e.networks {
			list = append(list, map[string]any{"Name": name, "Id": name, "Labels": labels, "Scope": "local", "Created": "2024-01-01T00:00:00.1Z"})
		}
		_ = json.NewEncoder(w).Encode(list)
	case "DELETE networks":
		e.drop(w, e.networks, name, func(b box) []string { return b.networks })
	case "GET images":
		e.tellImages(w, name)
	case "DELETE images":
		e.removeImage(w, name)
	case "GET system":
		_ = json.NewEncoder(w).Encode(map[string]any{"LayersSize": 0, "Images": e.imageList(), "BuildCache": e.cache})
	case "POST build":
		e.cache = slices.DeleteFunc(e.cache, func(r map[string]any) bool { return r["InUse"] != true })
	default:
		refuse(w, 404, "page not found: "+r.URL.Path)
	}
}

func (e *fakeEngine) tell(w http.ResponseWriter, id string) {
	settings := func(b box) map[string]any {
		on := map[string]any{}
		for _, n := range b.networks {
			on[n] = map[string]any{"NetworkID": n}
		}
		return map[string]any{"Networks": on}
	}
	if id != "json" {
		b, ok := e.boxes[id]
		if !ok {
			refuse(w, 404, "no such container")
			return
		}
		mounts := []map[string]any{{"Type": "bind", "Source": "/x"}}
		for _, v := range b.volumes {
			mounts = append(mounts, map[string]any{"Type": "volume", "Name": v})
		}
		host := map[string]any{"NetworkMode": "none", "IpcMode": "private", "PidMode": "", "VolumesFrom": nil}
		for _, other := range b.uses {
			host["NetworkMode"] = "container:" + other
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"Id": b.id, "Name": "/" + b.name, "Image": "sha256:" + b.image, "State": map[string]any{"Status": b.state, "Pid": 0},
			"Config": map[string]any{"Env": b.env, "Labels": b.labels, "Image": "any"}, "HostConfig": host, "Mounts": mounts, "NetworkSettings": settings(b),
		})
		return
	}
	list := []map[string]any{}
	for _, b := range e.boxes {
		list = append(list, map[string]any{
			"Id": b.id, "Names": []string{"/" + b.name, "/other/alias"}, "Labels": b.labels, "Created": time.Now().Add(-2 * time.Hour).Unix(),
			"Image": "any", "ImageID": "sha256:" + b.image, "State": b.state, "NetworkSettings": settings(b),
		})
	}
	_ = json.NewEncoder(w).Encode(list)
}

func (e *fakeEngine) removeBox(w http.ResponseWriter, r *http.Request, id string) {
	if _, ok := e.boxes[id]; !ok {
		refuse(w, 404, "no such container")
		return
	}
	for _, other := range e.boxes {
		if slices.Contains(other.uses, id) {
			refuse(w, 500, "container has dependent containers which must be removed before it")
			return
		}
	}
	if r.URL.Query().Get("force") != "1" && e.boxes[id].state == "running" {
		refuse(w, 409, "stop the container before removing it")
		return
	}
	delete(e.boxes, id)
	w.WriteHeader(204)
}

// drop removes a volume or a network that no container uses.
func (e *fakeEngine) drop(w http.ResponseWriter, from map[string]map[string]string, name string, use func(box) []string) {
	if _, ok := from[name]; !ok {
		refuse(w, 404, "there is no "+name)
		return
	}
	for _, b := range e.boxes {
		if slices.Contains(use(b), name) {
			refuse(w, 409, name+" is in use by "+b.name)
			return
		}
	}
	delete(from, name)
	w.WriteHeader(204)
}

func (e *fakeEngine) imageList() []map[string]any {
	list := []map[string]any{}
	for _, p := range e.images {
		tags := p.tags
		if len(tags) == 0 {
			tags = []string{"<none>:<none>"}
		}
		one := map[string]any{
			"Id": "sha256:" + p.id, "RepoTags": tags, "RepoDigests": p.digests, "Labels": p.labels, "Created": p.built.Unix(), "Size": p.size, "SharedSize": p.shared, "ParentId": "",
		}
		if p.parent != "" {
			one["ParentId"] = "sha256:" + p.parent
		}
		list = append(list, one)
	}
	return list
}

func (e *fakeEngine) tellImages(w http.ResponseWriter, name string) {
	if name == "json" {
		_ = json.NewEncoder(w).Encode(e.imageList())
		return
	}
	p, ok := e.images[strings.TrimSuffix(name, "/json")]
	if !ok {
		refuse(w, 404, "no such image")
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"Id": p.id, "Metadata": map[string]any{"LastTagTime": p.tagged}, "RootFS": map[string]any{"Layers": p.layers}})
}

// removeImage takes a name off an image, or removes the image of an identity.
func (e *fakeEngine) removeImage(w http.ResponseWriter, name string) {
	for id, p := range maps.All(e.images) {
		byName := slices.Contains(p.tags, name) || slices.Contains(p.digests, name)
		if !byName && id != name {
			continue
		}
		if byName && len(p.tags) > 1 {
			p.tags = slices.DeleteFunc(slices.Clone(p.tags), func(tag string) bool { return tag == name })
			e.images[id] = p
			return
		}
		for _, b := range e.boxes {
			if b.image == id {
				refuse(w, 409, "image is in use by container "+b.name)
				return
			}
		}
		for _, child := range e.images {
			if child.parent == id {
				refuse(w, 409, "image has dependent child images")
				return
			}
		}
		delete(e.images, id)
		return
	}
	refuse(w, 404, "no such image: "+name)
}

func (e *fakeEngine) servePods(w http.ResponseWriter, r *http.Request, name string) {
	if r.Method == "GET" {
		list := []map[string]any{}
		for name, labels := range e.pods {
			members, infra := []map[string]any{}, ""
			for _, b := range e.boxes {
				if b.pod == name {
					members = append(members, map[string]any{"Id": b.id, "Names": b.name})
				}
				if b.name == name+"-infra" {
					infra = b.id
				}
			}
			list = append(list, map[string]any{"Id": name, "Name": name, "Labels": labels, "Created": time.Now(), "InfraId": infra, "Containers": members})
		}
		_ = json.NewEncoder(w).Encode(list)
		return
	}
	if _, ok := e.pods[name]; r.Method == "DELETE" && ok {
		delete(e.pods, name)
		maps.DeleteFunc(e.boxes, func(_ string, b box) bool { return b.pod == name })
	}
}
