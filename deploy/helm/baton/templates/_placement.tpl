{{- /* Takes {root, name, region}. The region's zones are required; apart from that, nodes without a pod of it come first. */ -}}
{{- define "baton.affinity" -}}
{{- $zones := dict -}}
{{- with .region.zones -}}
{{- $term := dict "key" "topology.kubernetes.io/zone" "operator" "In" "values" . -}}
{{- $zones = dict "nodeAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" (list (dict "matchExpressions" (list $term))))) -}}
{{- end -}}
{{- if .root.Values.workers.affinity -}}
{{- toYaml (merge (deepCopy .root.Values.workers.affinity) $zones) -}}
{{- else -}}
{{- if $zones -}}
{{- toYaml $zones }}
{{ end -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "baton.selector" .root | nindent 12 }}
            app.kubernetes.io/component: worker
            baton/region: {{ .name }}
{{- end -}}
{{- end -}}
