{{- /* What every pod of the chart has in common: no privilege, no token, nothing to write to but /tmp. */ -}}
{{- define "baton.podSecurity" -}}
serviceAccountName: {{ include "baton.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
  runAsNonRoot: true
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "baton.containerSecurity" -}}
image: {{ include "baton.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{- /* Secrets as files. Takes {root, region}: with a region its broker, without one every broker's TLS files. */ -}}
{{- define "baton.secretEnv" -}}
{{- $values := .root.Values -}}
{{- if .region }}
{{- $rabbitmq := (get $values.regions .region).rabbitmq }}
{{- if not $rabbitmq.url }}
- name: BATON_RABBITMQ_URL_FILE
  value: /etc/baton/secrets/rabbitmq-{{ .region }}/{{ $rabbitmq.urlKey | default "url" }}
{{- end }}
{{- end }}
{{- range $name, $region := $values.regions }}
{{- with $region.rabbitmq.managementUrlKey }}
- name: BATON_RABBITMQ_MANAGEMENT_URL_{{ $name | upper | replace "-" "_" }}_FILE
  value: /etc/baton/secrets/rabbitmq-{{ $name }}/{{ . }}
{{- end }}
{{- end }}
{{- if $values.etcd.auth.existingSecret }}
- name: BATON_ETCD_USERNAME_FILE
  value: /etc/baton/secrets/etcd/{{ $values.etcd.auth.usernameKey }}
- name: BATON_ETCD_PASSWORD_FILE
  value: /etc/baton/secrets/etcd/{{ $values.etcd.auth.passwordKey }}
{{- end }}
{{- if $values.temporal.apiKey.existingSecret }}
- name: BATON_TEMPORAL_API_KEY_FILE
  value: /etc/baton/secrets/temporal/{{ $values.temporal.apiKey.key }}
{{- end }}
{{- end -}}

{{- /* Takes {root, region}. Only the keys that are needed are mounted. */ -}}
{{- define "baton.secretVolumes" -}}
{{- $values := .root.Values -}}
{{- $own := .region -}}
- name: config
  configMap:
    name: {{ include "baton.fullname" .root }}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- range $name, $region := $values.regions }}
{{- $rabbitmq := $region.rabbitmq }}
{{- $keys := list }}
{{- if and (eq $name (default "" $own)) (not $rabbitmq.url) }}{{ $keys = append $keys ($rabbitmq.urlKey | default "url") }}{{ end }}
{{- with $rabbitmq.managementUrlKey }}{{ $keys = append $keys . }}{{ end }}
{{- if and $rabbitmq.existingSecret $keys }}
- name: rabbitmq-{{ $name }}
  {{- include "baton.secretSource" (dict "secret" $rabbitmq.existingSecret "keys" $keys) | nindent 2 }}
{{- end }}
{{- if and (dig "tls" "existingSecret" "" $rabbitmq) (or (not $own) (eq $name $own) $rabbitmq.managementUrlKey) }}
- name: tls-rabbitmq-{{ $name }}
  {{- include "baton.tlsSource" $rabbitmq.tls | nindent 2 }}
{{- end }}
{{- end }}
{{- with $values.etcd.auth }}
{{- if .existingSecret }}
- name: etcd
  {{- include "baton.secretSource" (dict "secret" .existingSecret "keys" (list .usernameKey .passwordKey)) | nindent 2 }}
{{- end }}
{{- end }}
{{- with $values.temporal.apiKey }}
{{- if .existingSecret }}
- name: temporal
  {{- include "baton.secretSource" (dict "secret" .existingSecret "keys" (list .key)) | nindent 2 }}
{{- end }}
{{- end }}
{{- if $values.etcd.tls.existingSecret }}
- name: tls-etcd
  {{- include "baton.tlsSource" $values.etcd.tls | nindent 2 }}
{{- end }}
{{- if $values.temporal.tls.existingSecret }}
- name: tls-temporal
  {{- include "baton.tlsSource" $values.temporal.tls | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "baton.secretMounts" -}}
{{- range (include "baton.secretVolumes" . | fromYamlArray) }}
- name: {{ .name }}
{{- if eq .name "tmp" }}
  mountPath: /tmp
{{- else if eq .name "config" }}
  mountPath: /etc/baton/config
  readOnly: true
{{- else if hasPrefix "tls-" .name }}
  mountPath: /etc/baton/tls/{{ trimPrefix "tls-" .name }}
  readOnly: true
{{- else }}
  mountPath: /etc/baton/secrets/{{ .name }}
  readOnly: true
{{- end }}
{{- end }}
{{- end -}}

{{- define "baton.secretSource" -}}
secret:
  secretName: {{ .secret }}
  defaultMode: 0440
  items:
    {{- range .keys | uniq }}
    - { key: {{ . | quote }}, path: {{ . | quote }} }
    {{- end }}
{{- end -}}

{{- define "baton.tlsSource" -}}
{{- include "baton.secretSource" (dict "secret" .existingSecret "keys" (list (.caKey | default "ca.crt") .certKey .keyKey | compact)) -}}
{{- end -}}
