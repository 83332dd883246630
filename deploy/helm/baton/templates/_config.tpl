{{- /* caFile, certFile and keyFile below a mounted Secret. Takes {tls, folder}. */ -}}
{{- define "baton.tlsFiles" -}}
{{- $files := dict -}}
{{- if .tls.existingSecret -}}
{{- with .tls.caKey | default "ca.crt" }}{{ $_ := set $files "caFile" (printf "%s/%s" $.folder .) }}{{ end -}}
{{- with .tls.certKey }}{{ $_ := set $files "certFile" (printf "%s/%s" $.folder .) }}{{ end -}}
{{- with .tls.keyKey }}{{ $_ := set $files "keyFile" (printf "%s/%s" $.folder .) }}{{ end -}}
{{- end -}}
{{- $files | toJson -}}
{{- end -}}

{{- /* baton.yaml. No secret is in it: they are mounted, and named by BATON_…_FILE (_pod.tpl). */ -}}
{{- define "baton.config" -}}
{{- $regions := dict -}}
{{- range $name, $region := .Values.regions -}}
{{- $rabbitmq := ($region | default dict).rabbitmq | default dict -}}
{{- if and (not $rabbitmq.url) (not $rabbitmq.existingSecret) -}}
{{- fail (printf "regions.%s.rabbitmq: give url, or existingSecret with the address under urlKey" $name) -}}
{{- end -}}
{{- if and $rabbitmq.url $rabbitmq.existingSecret (not $rabbitmq.managementUrlKey) -}}
{{- fail (printf "regions.%s.rabbitmq.existingSecret: is given beside url, and has nothing to add without managementUrlKey" $name) -}}
{{- end -}}
{{- $settings := fromJson (include "baton.tlsFiles" (dict "tls" ($rabbitmq.tls | default dict) "folder" (printf "/etc/baton/tls/rabbitmq-%s" $name))) -}}
{{- with $rabbitmq.url }}{{ $_ := set $settings "amqpUrl" . }}{{ end -}}
{{- $_ := set $regions $name $settings -}}
{{- end -}}
{{- $etcd := fromJson (include "baton.tlsFiles" (dict "tls" .Values.etcd.tls "folder" "/etc/baton/tls/etcd")) -}}
{{- $_ := set $etcd "endpoints" .Values.etcd.endpoints -}}
{{- with .Values.etcd.failureDomains }}{{ $_ := set $etcd "failureDomains" . }}{{ end -}}
{{- $temporal := fromJson (include "baton.tlsFiles" (dict "tls" .Values.temporal.tls "folder" "/etc/baton/tls/temporal")) -}}
{{- $_ := set $temporal "address" .Values.temporal.address -}}
{{- $_ := set $temporal "namespace" .Values.temporal.namespace -}}
{{- $own := dict "regions" $regions "etcd" $etcd "temporal" $temporal "health" (dict "port" (.Values.healthPort | int64)) -}}
{{- toYaml (merge $own .Values.config) -}}
{{- end -}}
