package load

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

// account is what became of a load: a row of the table.
type account struct {
	fault             string
	struck            int64
	requests          int
	completed, failed int
	lost              int // requests without an end that their client saw
	doubled           int // requests with two ends or two records, stages with two manifests, webhooks of two kinds
	orphaned          int // objects and keys that belong to no request, or stayed behind an ended one; folders of dead workers
	spare             int // objects of attempts that did not finish: their request's, until retention or purge take them
	spareKinds        map[string]int
	platformMS        float64
	problems          []string
}

func (a *account) problem(count *int, what string) {
	*count++
	if a.problems = append(a.problems, what); len(a.problems) > 20 {
		a.problems = a.problems[:20]
	}
}

// settleTime is enough for what follows an end: one that nobody announced is announced after a minute.
const settleTime = 3 * time.Minute

// settle waits until nothing is on its way any more.
func (r *rig) settle(members []*member) {
	deadline := time.Now().Add(settleTime)
	for time.Now().Before(deadline) {
		if r.quiet(members) {
			return
		}
		time.Sleep(100 * time.Millisecond) // polling programs that run on their own
	}
}

func (r *rig) quiet(members []*member) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if r.cloud.Events.Idle(ctx) != nil || len(workers()) > 0 {
		return false
	}
	client := redis.NewClient(&redis.Options{Addr: r.redis.Addr})
	defer client.Close()
	if n, err := client.ZCard(ctx, "{q4}finished").Result(); err != nil || n > 0 {
		return false
	}
	r.hooks.mu.Lock()
	defer r.hooks.mu.Unlock()
	return !slices.ContainsFunc(members, func(m *member) bool {
		return m.accepted != nil && m.err == nil && len(r.hooks.types[m.accepted.RequestID]) == 0
	})
}

// check counts what became of the members.
func (r *rig) check(f fault, members []*member) *account {
	a := &account{fault: f.name, struck: r.struck.Load(), requests: len(members), spareKinds: map[string]int{}}
	ids := map[string]*member{}
	for _, m := range members {
		r.checkEnd(a, m)
		if m.accepted != nil {
			ids[m.accepted.RequestID] = m
		}
	}
	r.checkObjects(a, ids)
	r.checkKeys(a, ids)
	r.checkFolders(a)
	return a
}

func (r *rig) checkEnd(a *account, m *member) {
	switch {
	case m.err != nil:
		a.problem(&a.lost, m.session+": "+m.err.Error())
		return
	case len(m.ends) != 1:
		a.problem(&a.doubled, m.session+" has several ends")
		return
	}
	switch m.ends[0] {
	case pipeline.Completed:
		a.completed++
	case pipeline.Failed:
		a.failed++
		a.problems = append(a.problems, m.session+" FAILED: "+m.last.Failure.Code+" in "+string(m.last.Failure.Stage)+": "+m.last.Failure.Message)
	}
	r.hooks.mu.Lock()
	defer r.hooks.mu.Unlock()
	switch kinds := r.hooks.types[m.accepted.RequestID]; {
	case len(kinds) == 0:
		a.problem(&a.lost, "no webhook for "+m.session)
	case len(kinds) > 1:
		a.problem(&a.doubled, "webhooks of several kinds for "+m.session)
	}
}

// object is one generation of an object.
type object struct {
	Bucket, Name, Generation string
}

// objects lists a bucket through the storage's own API.
func (r *rig) objects(bucket string) (all []object) {
	for token := ""; ; {
		resp, err := http.Get(r.cloud.StorageURL() + "/storage/v1/b/" + bucket + "/o?pageToken=" + url.QueryEscape(token))
		if err != nil {
			r.t.Fatal(err)
		}
		var page struct {
			Items         []object
			NextPageToken string
		}
		err = json.NewDecoder(resp.Body).Decode(&page)
		resp.Body.Close()
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, page.Items...)
		if token = page.NextPageToken; token == "" {
			return all
		}
	}
}

// reports are kept of attempts on purpose.
var reports = []string{artifacts.Checkpoint.FileName(), "attempt.json"}

// checkObjects looks at every object of every bucket: whose it is, whether a completed request has one manifest of each stage, and
// whether what the manifests name is there.
func (r *rig) checkObjects(a *account, ids map[string]*member) {
	manifests, records, kept := map[string]int{}, map[string]int{}, map[string]bool{}
	var inArtifacts []object
	buckets := []string{artifactsBucket}
	for _, s := range pipeline.Stages() {
		buckets = append(buckets, inbox(s))
	}
	for _, bucket := range buckets {
		for _, o := range r.objects(bucket) {
			id := requestID.FindString(o.Name)
			switch {
			case o.Name == artifacts.WebhookKeysName:
				continue
			case ids[id] == nil:
				a.problem(&a.orphaned, "an object of nobody: "+bucket+"/"+o.Name)
				continue
			case o.Name == artifacts.RequestName(id):
				records[ids[id].session]++
			case strings.HasSuffix(o.Name, ".manifest.json"):
				manifests[id]++
				for _, named := range r.manifest(o).Outputs {
					kept[named.Object.Name] = true
				}
			case bucket == artifactsBucket:
				inArtifacts = append(inArtifacts, o)
			}
		}
	}
	there := map[string]bool{}
	for _, o := range inArtifacts {
		there[o.Name] = true
		if _, ok := artifacts.FenceOf(o.Name); ok && !kept[o.Name] && !slices.Contains(reports, filepath.Base(o.Name)) {
			a.spare++
			a.spareKinds[filepath.Base(o.Name)]++
		}
	}
	for name := range kept {
		if !there[name] {
			a.problem(&a.lost, "a manifest names what is not there: "+name)
		}
	}
	for id, m := range ids {
		if n := records[m.session]; n != 1 {
			a.problem(&a.doubled, m.session+" has not one record")
		}
		if len(m.ends) != 1 || m.ends[0] != pipeline.Completed {
			continue
		}
		switch n := manifests[id]; {
		case n < len(pipeline.Stages()):
			a.problem(&a.lost, m.session+" lacks a manifest")
		case n > len(pipeline.Stages()):
			a.problem(&a.doubled, m.session+" has too many manifests")
		}
	}
}

func (r *rig) manifest(o object) (m artifacts.Manifest) {
	body, err := get(context.Background(), r.cloud.StorageURL()+"/storage/v1/b/"+o.Bucket+"/o/"+url.PathEscape(o.Name)+"?alt=media")
	if err == nil {
		err = json.Unmarshal(body, &m)
	}
	if err != nil {
		r.t.Errorf("manifest %s: %v", o.Name, err)
	}
	return m
}

// resting are the keys that the queue and the limits have when nothing is to be done.
var resting = []string{"{q4}agenda", "{q4}counts", "{q4}repeats", "{q4}sequence", "{q4}events", "{q4}reaped", "{q4}whole", "{q4}rebuild:", "{q4}session:", "{q4}token:", "{q4}agenda:",
	"{q4}turns:", "{trigger", "{changes", "trigger", "changes"}

// checkKeys looks at every key of Redis once all requests have ended.
func (r *rig) checkKeys(a *account, ids map[string]*member) {
	client := redis.NewClient(&redis.Options{Addr: r.redis.Addr})
	defer client.Close()
	ctx := context.Background()
	for all := client.Scan(ctx, 0, "*", 1000).Iterator(); all.Next(ctx); {
		key := all.Val()
		id := requestID.FindString(key)
		switch {
		case id != "" && ids[id] == nil:
			a.problem(&a.orphaned, "a key of nobody: "+key)
		case strings.HasPrefix(key, "{q4}promised:"):
			a.problem(&a.orphaned, "a promise of an ended request: "+key)
		case id != "":
		case !slices.ContainsFunc(resting, func(known string) bool { return strings.HasPrefix(key, known) }):
			members, _ := client.ZRange(ctx, key, 0, 3).Result()
			a.problem(&a.orphaned, "a key that waits for something: "+key+" "+strings.Join(members, " "))
		}
	}
}

// checkFolders looks for what dead workers, uploads and downloads left on disks.
func (r *rig) checkFolders(a *account) {
	for _, pattern := range []string{filepath.Join(r.work, "*"), filepath.Join(r.dir, "cloud/storage/tmp/*")} {
		left, _ := filepath.Glob(pattern)
		for _, path := range left {
			if _, err := os.Stat(path); err == nil {
				a.problem(&a.orphaned, "left on a disk: "+path)
			}
		}
	}
}
