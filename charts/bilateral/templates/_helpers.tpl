{{/* The base of every name: the release's, with the chart's where the release does not say it. */}}
{{- define "bilateral.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 45 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The base of a cluster-wide name: two releases of one name in two namespaces must not meet. */}}
{{- define "bilateral.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "bilateral.fullname" .) -}}
{{- end -}}

{{- define "bilateral.serviceAccountName" -}}
{{- if .Values.serviceAccount.name -}}
{{- .Values.serviceAccount.name -}}
{{- else if .Values.serviceAccount.create -}}
{{- include "bilateral.fullname" . -}}
{{- else -}}
{{- fail "serviceAccount.name is needed when serviceAccount.create is false" -}}
{{- end -}}
{{- end -}}

{{- define "bilateral.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "bilateral.labels" -}}
{{ include "bilateral.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "bilateral.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* "true" when all namespaces are watched. */}}
{{- define "bilateral.watchesAll" -}}
{{- if has "*" .Values.watchNamespaces -}}true{{- end -}}
{{- end -}}

{{/* The watched namespaces, as a JSON list; not for the case of all. */}}
{{- define "bilateral.namespaces" -}}
{{- .Values.watchNamespaces | default (list .Release.Namespace) | toJson -}}
{{- end -}}

{{/* The kind of the ledger, where policies decide; "" where they do not. Refuses values that contradict each other. */}}
{{- define "bilateral.ledger" -}}
{{- if .Values.policies.enabled -}}
{{- $ledger := .Values.policies.ledger -}}
{{- if eq $ledger.type "SQLite" -}}
{{- if gt (int .Values.replicas) 1 -}}
{{- fail "these values have several replicas and a ledger that only one can write: set replicas to 1, or policies.ledger.type to PostgreSQL" -}}
{{- end -}}
{{- if or $ledger.postgresql.urlSecretRef.name $ledger.postgresql.caSecretRef.name $ledger.postgresql.to -}}
{{- fail "these values have policies.ledger.postgresql, which would not count: set policies.ledger.type to PostgreSQL, or leave it out" -}}
{{- end -}}
{{- else if not $ledger.postgresql.urlSecretRef.name -}}
{{- fail "these values have a PostgreSQL ledger and no server: put its URL into a Secret, and the Secret's name into policies.ledger.postgresql.urlSecretRef.name" -}}
{{- else if or $ledger.sqlite.storageClassName $ledger.sqlite.existingClaim -}}
{{- fail "these values have policies.ledger.sqlite, which would not count: set policies.ledger.type to SQLite, or leave it out" -}}
{{- end -}}
{{- $ledger.type -}}
{{- end -}}
{{- end -}}

{{- define "bilateral.ledgerClaim" -}}
{{- .Values.policies.ledger.sqlite.existingClaim | default (printf "%s-ledger" (include "bilateral.fullname" .)) -}}
{{- end -}}

{{/* What the operator may do with its objects, wherever it watches. Why each: docs/install.md. */}}
{{- define "bilateral.rules" -}}
- apiGroups: [bilateral.dev]
  resources:
  - trustdomains
  - federationpeers
  - workloadidentities
  - trustedservices
  - introductions
  - federationpolicies
  verbs: [get, list, watch]
- apiGroups: [bilateral.dev]
  resources:
  - trustdomains/status
  - federationpeers/status
  - workloadidentities/status
  - trustedservices/status
  - introductions/status
  - federationpolicies/status
  verbs: [patch]
- apiGroups: [bilateral.dev]
  resources: [introductions]
  verbs: [create{{ if .Values.approvals.automatic }}, approve{{ end }}]
{{- if .Values.policies.enabled }}
- apiGroups: [bilateral.dev]
  resources: [federationpolicies]
  verbs: [create, delete]
{{- end }}
- apiGroups: [""]
  resources: [secrets]
  verbs: [list, watch, create, patch]
- apiGroups: [""]
  resources: [services]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if .Values.rollouts.enabled }}
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [patch]
{{- end }}
{{- end -}}
