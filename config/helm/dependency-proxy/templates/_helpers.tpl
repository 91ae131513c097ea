{{/* The name of all objects. */}}
{{- define "dependency-proxy.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The labels by which pods are found. */}}
{{- define "dependency-proxy.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "dependency-proxy.labels" -}}
{{ include "dependency-proxy.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "dependency-proxy.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The Secret with the files. */}}
{{- define "dependency-proxy.secret" -}}
{{ .Values.secret.existing | default (include "dependency-proxy.name" .) }}
{{- end -}}

{{/* Every address of the pod, in front of a port. */}}
{{- define "dependency-proxy.any" -}}
{{ if eq .Values.ipFamily "IPv6" }}[::]{{ else }}0.0.0.0{{ end }}
{{- end -}}

{{/* A probe of this path. */}}
{{- define "dependency-proxy.probe" -}}
httpGet:
  path: {{ .path }}
  port: http
  {{- if .root.Values.tls.existingSecret }}
  scheme: HTTPS
  {{- end }}
timeoutSeconds: 5
{{- end -}}

{{/* Refuses values that lack something. */}}
{{- define "dependency-proxy.check" -}}
{{- $secret := .Values.secret -}}
{{- if and $secret.existing $secret.data -}}
{{- fail "set secret.existing or secret.data, not both" -}}
{{- end -}}
{{- if not $secret.existing -}}
{{- $needed := list "admin-password" -}}
{{- if eq .Values.mode "fleet" -}}
{{- $needed = concat $needed (list "fleet-secret" "database-url") -}}
{{- if .Values.fleet.bucketAccessKey -}}
{{- $needed = append $needed "bucket-secret-key" -}}
{{- end -}}
{{- end -}}
{{- range $needed -}}
{{- if not (get $secret.data .) -}}
{{- fail (printf "secret.data.%s is missing; or name a Secret that has it with secret.existing" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.mode "fleet") (not .Values.fleet.bucketUrl) -}}
{{- fail "fleet.bucketUrl is missing: a fleet needs a bucket" -}}
{{- end -}}
{{- end -}}
