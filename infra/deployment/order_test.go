package deployment

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// graph is what waits for what in a plan: for each node its direct requirements.
type graph map[string][]string

// edge is a line of terraform graph: "[root] a (expand)" -> "[root] b (expand)".
var edge = regexp.MustCompile(`(?m)^\s*"\[root\] (.+?)" -> "\[root\] (.+?)"$`)

func readGraph(t *testing.T, path string) graph {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	g := graph{}
	for _, m := range edge.FindAllStringSubmatch(string(text), -1) {
		g[m[1]] = append(g[m[1]], m[2])
	}
	if len(g) < 20 {
		t.Fatalf("%s has only %d nodes that wait for something", path, len(g))
	}
	return g
}

// waitsFor returns the first node, directly or not required by from, that is wanted.
func (g graph) waitsFor(from string, wanted func(node string) bool) string {
	seen := map[string]bool{from: true}
	for next := []string{from}; len(next) > 0; next = next[1:] {
		for _, node := range g[next[0]] {
			if seen[node] {
				continue
			}
			if wanted(node) {
				return node
			}
			seen[node] = true
			next = append(next, node)
		}
	}
	return ""
}

// slow are the resources that take minutes to make: the stores of the queue.
var slow = regexp.MustCompile(`google_(redis_instance|memorystore_instance|compute_instance)\.`)

// small are accounts, and grants on what is not itself made from the queue's store: all of it can be made meanwhile, and must
// be, because a grant is known everywhere only minutes after it was made.
var small = regexp.MustCompile(`(^|\.)google_(service_account|secret_manager_secret_iam_member|storage_bucket_iam_member|project_iam_member|pubsub_topic_iam_member|service_account_iam_member|logging_metric)\.`)

func nothingSmallWaitsForTheStore(t *testing.T, g graph) {
	found := 0
	for _, node := range slices.Sorted(maps.Keys(g)) {
		if !small.MatchString(node) || strings.HasPrefix(node, "provider") {
			continue
		}
		found++
		if store := g.waitsFor(node, slow.MatchString); store != "" {
			t.Errorf("%s waits for %s", node, store)
		}
	}
	if found < 20 {
		t.Fatalf("only %d accounts and grants in the graph", found)
	}
	// The check must be able to fail: a service does wait for its secret's value.
	service := "module.trigger.google_cloud_run_v2_service.this (expand)"
	if len(g[service]) == 0 {
		t.Fatalf("%s is not in the graph", service)
	}
	for _, wanted := range []string{"google_project_iam_member.storage_publishes", "google_secret_manager_secret_iam_member.reads", "time_sleep.granted"} {
		if g.waitsFor(service, func(node string) bool { return strings.Contains(node, wanted) }) == "" {
			t.Errorf("%s does not wait for %s", service, wanted)
		}
	}
	for _, alert := range []string{"google_monitoring_alert_policy.this (expand)", "google_monitoring_slo.completed (expand)"} {
		if g.waitsFor(alert, func(node string) bool { return strings.HasPrefix(node, "time_sleep.metrics_known") }) == "" {
			t.Errorf("%s does not wait for its metrics to be known", alert)
		}
	}
}

func agentsBeforeGrants(t *testing.T, g graph) {
	identity := func(node string) bool { return strings.HasPrefix(node, "google_project_service_identity.agent") }
	for _, node := range []string{"google_project_iam_member.eventarc (expand)", "time_sleep.granted (expand)"} {
		if g.waitsFor(node, identity) == "" {
			t.Errorf("%s does not wait for the account that Google makes for the service", node)
		}
	}
	if g.waitsFor("google_project_service_identity.agent (expand)", func(node string) bool { return strings.HasPrefix(node, "google_project_service.api") }) == "" {
		t.Error("the accounts do not wait for the services that they belong to")
	}
	bootstrap := text(t, "terraform", "bootstrap", "main.tf")
	for _, service := range []string{"eventarc", "pubsub", "run", "secretmanager", "redis", "memorystore", "cloudscheduler"} {
		if _, list, _ := strings.Cut(bootstrap, "for_each = toset(["); !strings.Contains(strings.SplitN(list, "\n", 2)[0], `"`+service+`"`) {
			t.Errorf("no account is made for %s", service)
		}
	}
}

// rights is the role that making a resource of a type takes. "" for what needs none of Google's.
var rights = map[string]string{
	"google_artifact_registry_repository_iam_member":        "roles/artifactregistry.admin",
	"google_cloud_quotas_quota_preference":                  "roles/cloudquotas.admin",
	"google_cloud_run_v2_job":                               "roles/run.admin",
	"google_cloud_run_v2_job_iam_member":                    "roles/run.admin",
	"google_cloud_run_v2_service":                           "roles/run.admin",
	"google_cloud_run_v2_service_iam_member":                "roles/run.admin",
	"google_cloud_scheduler_job":                            "roles/cloudscheduler.admin",
	"google_compute_address":                                "roles/compute.networkAdmin",
	"google_compute_firewall":                               "roles/compute.securityAdmin",
	"google_compute_instance":                               "roles/compute.instanceAdmin.v1",
	"google_compute_network":                                "roles/compute.networkAdmin",
	"google_compute_subnetwork":                             "roles/compute.networkAdmin",
	"google_eventarc_trigger":                               "roles/eventarc.admin",
	"google_logging_metric":                                 "roles/logging.configWriter",
	"google_memorystore_instance":                           "roles/memorystore.admin",
	"google_monitoring_alert_policy":                        "roles/monitoring.editor",
	"google_monitoring_custom_service":                      "roles/monitoring.editor",
	"google_monitoring_dashboard":                           "roles/monitoring.editor",
	"google_monitoring_notification_channel":                "roles/monitoring.editor",
	"google_monitoring_slo":                                 "roles/monitoring.editor",
	"google_network_connectivity_service_connection_policy": "roles/networkconnectivity.consumerNetworkAdmin",
	"google_project_iam_member":                             "roles/resourcemanager.projectIamAdmin",
	"google_pubsub_topic":                                   "roles/pubsub.admin",
	"google_pubsub_topic_iam_member":                        "roles/pubsub.admin",
	"google_redis_instance":                                 "roles/redis.admin",
	"google_secret_manager_secret":                          "roles/secretmanager.admin",
	"google_secret_manager_secret_iam_member":               "roles/secretmanager.admin",
	"google_secret_manager_secret_version":                  "roles/secretmanager.admin",
	"google_service_account":                                "roles/iam.serviceAccountAdmin",
	"google_service_account_iam_member":                     "roles/iam.serviceAccountAdmin",
	"google_storage_bucket":                                 "roles/storage.admin",
	"google_storage_bucket_iam_binding":                     "roles/storage.admin",
	"google_storage_bucket_iam_member":                      "roles/storage.admin",
	"random_password":                                       "",
	"terraform_data":                                        "",
	"time_sleep":                                            "",
}

// deployerMayMake: whatever the settings and the examples ask for, the deployer has the right to make it; what it has no
// right to make is in owner/, which a person applies.
func deployerMayMake(t *testing.T, plans [][]resource) {
	bootstrap := text(t, "terraform", "bootstrap", "main.tf")
	types := map[string]bool{}
	for _, plan := range plans {
		for _, r := range plan {
			types[r.Type] = true
			if grant := decode[struct{ Role string }](t, r); r.Type == "google_project_iam_member" && !regexp.MustCompile(`grantable = \[[^\]]*"`+regexp.QuoteMeta(grant.Role)+`"`).MatchString(bootstrap) {
				t.Errorf("%s grants %s on the project, which bootstrap does not let the deployer grant", r.Address, grant.Role)
			}
		}
	}
	if len(types) < 25 {
		t.Fatalf("only %d types of resources planned", len(types))
	}
	for typ := range types {
		role, known := rights[typ]
		if !known {
			t.Errorf("nobody said which role makes a %s; add it here, and to bootstrap/main.tf", typ)
		}
		if role != "" && !strings.Contains(bootstrap, `"`+role+`"`) {
			t.Errorf("%s takes %s, which bootstrap does not give to the deployer", typ, role)
		}
	}
}

// servicesAreProbed: the network may open only a minute or more after a program started; until then nobody is sent to it.
func servicesAreProbed(t *testing.T, resources []resource) {
	type probe struct {
		Period    int                     `json:"period_seconds"`
		Threshold int                     `json:"failure_threshold"`
		Get       []struct{ Path string } `json:"http_get"`
	}
	services := 0
	for _, r := range resources {
		if r.Type != "google_cloud_run_v2_service" {
			continue
		}
		services++
		probes := decode[struct {
			Template []struct {
				Containers []struct {
					Startup []probe `json:"startup_probe"`
				}
			}
		}](t, r).Template[0].Containers[0].Startup
		if len(probes) != 1 || len(probes[0].Get) != 1 || probes[0].Get[0].Path != "/ready" || probes[0].Period*probes[0].Threshold != 240 {
			t.Errorf("%s: %+v, want /ready every 5 s for the four minutes that Cloud Run allows", r.Address, probes)
		}
	}
	if services < 8 {
		t.Fatalf("only %d services planned", services)
	}
}
