{{- /*
Seconds: the longest drain limit of all locks, rounded up, and the margin. The default drain limit is Baton's own
(files/defaults.yaml, written by scripts/helm-chart.mjs).
*/ -}}
{{- define "baton.graceSeconds" -}}
{{- $own := (.Files.Get "files/defaults.yaml" | fromYaml).drainLimitMs -}}
{{- $common := dig "defaults" "drainLimitMs" $own .Values.config -}}
{{- $longest := 0 -}}
{{- range $name, $lock := .Values.config.locks -}}
{{- $longest = max $longest (dig "drainLimitMs" $common $lock | int64) -}}
{{- end -}}
{{- add (div (add $longest 999) 1000) (.Values.workers.shutdownMarginSeconds | int64) -}}
{{- end -}}
