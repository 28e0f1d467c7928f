package monitoring

import (
	"encoding/json"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// object is a JSON object of Grafana's.
type object = map[string]any

// WriteDashboard writes the dashboard as Grafana imports it: it asks for a Prometheus, and needs no plugin.
func WriteDashboard(w io.Writer) error {
	source := object{"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
	const width, height = 12, 8 // of 24 columns
	var panels []object
	for i, c := range Charts {
		steps := []object{{"color": "green", "value": nil}}
		defaults := object{"unit": c.Unit, "min": 0}
		description := ""
		if c.Alert != nil {
			steps = append(steps, object{"color": "red", "value": c.Alert.Threshold})
			defaults["custom"] = object{"thresholdsStyle": object{"mode": "line"}}
			description = fmt.Sprintf("Alert %q: docs/operations.md, Runbook.", c.Alert.Name)
		}
		defaults["thresholds"] = object{"mode": "absolute", "steps": steps}
		panels = append(panels, object{
			"id": i + 1, "type": "timeseries", "title": c.Title, "description": description, "datasource": source,
			"gridPos":     object{"x": width * (i % 2), "y": height * (i / 2), "w": width, "h": height},
			"targets":     []object{{"refId": "A", "expr": c.Query, "legendFormat": c.Legend, "datasource": source}},
			"fieldConfig": object{"defaults": defaults, "overrides": []object{}},
		})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(object{
		"__inputs": []object{{"name": "DS_PROMETHEUS", "label": "Prometheus", "type": "datasource", "pluginId": "prometheus", "pluginName": "Prometheus"}},
		"title":    "Splatworks", "uid": "splatworks", "schemaVersion": 39, "version": 1, "editable": true,
		"time": object{"from": "now-6h", "to": "now"}, "refresh": "1m", "tags": []string{"splatworks"}, "panels": panels,
	})
}

// WriteRules writes the alerts as a file of rules for Prometheus.
func WriteRules(w io.Writer) error {
	type rule struct {
		Alert       string            `yaml:"alert"`
		Expr        string            `yaml:"expr"`
		For         string            `yaml:"for"`
		Labels      map[string]string `yaml:"labels"`
		Annotations map[string]string `yaml:"annotations"`
	}
	var rules []rule
	for _, c := range Charts {
		if a := c.Alert; a != nil {
			rules = append(rules, rule{a.Name, fmt.Sprintf("%s > %g", a.Query, a.Threshold), a.For, map[string]string{"severity": a.Severity},
				map[string]string{"summary": c.Title, "runbook": fmt.Sprintf("docs/operations.md, Runbook, %q", a.Name)}})
		}
	}
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(map[string]any{"groups": []any{map[string]any{"name": "splatworks", "rules": rules}}}); err != nil {
		return err
	}
	return e.Close()
}
