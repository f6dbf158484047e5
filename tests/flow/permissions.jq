# wrong($needs): what terraform grants, against what the tools need. Input: the resources of a run of terraform's tests. $needs: the rows of
# permissions.tsv. Output: a line for each permission that an account lacks, and for each grant, role or permission that nobody
# needs.

def wrong($needs):
# The predefined roles that terraform uses, as far as they concern resources of ours.
{
	"roles/pubsub.subscriber": ["pubsub.subscriptions.consume", "pubsub.topics.attachSubscription", "pubsub.snapshots.seek"],
	"roles/pubsub.publisher": ["pubsub.topics.publish"],
	"roles/storage.objectCreator": ["storage.objects.create", "storage.folders.create", "storage.managedFolders.create",
		"storage.multipartUploads.abort", "storage.multipartUploads.create", "storage.multipartUploads.listParts"],
	"roles/storage.objectViewer": ["storage.objects.get", "storage.objects.list", "storage.folders.get", "storage.folders.list",
		"storage.managedFolders.get", "storage.managedFolders.list"],
	"roles/artifactregistry.reader": ["artifactregistry.repositories.downloadArtifacts"],
	"roles/artifactregistry.writer": ["artifactregistry.repositories.downloadArtifacts", "artifactregistry.repositories.uploadArtifacts"],
	"roles/logging.logWriter": ["logging.logEntries.create"],
	"roles/iam.serviceAccountTokenCreator": ["iam.serviceAccounts.getAccessToken"]
} as $predefined
| . as $all
| def of($type): $all[] | select(.type == $type) | .values;
([of("google_project_iam_custom_role") | {(.name): .permissions}] | add // {}) as $custom
| ($predefined + $custom) as $roles
| ([of("google_service_account") | {(.member): (.account_id | sub("^evpipe-"; ""))}] | add // {}) as $accounts
| ([of("google_service_account") | {(.name): .account_id}] | add // {}) as $ids
| [.[] | select(.type | endswith("_iam_member")) | .address as $address | .values | {
	address: $address, role,
	account: ($accounts[.member] // (if .member | test("@gcp-sa-pubsub") then "pubsub-agent" else .member | sub("^group:"; "") end)),
	permissions: ($roles[.role] // error("permissions.jq does not know the role \(.role)")),
	resource: (if .subscription then "subscription:" + .subscription
		elif .topic then "topic:" + .topic
		elif .dataset_id then "dataset:" + .dataset_id
		elif .bucket then "bucket:" + .bucket
		elif .repository then "repository:" + .repository
		elif .service_account_id then "account:" + $ids[.service_account_id]
		else "project:" + .project end)
}] as $grants
| ($needs | map(select(.resource != "-") | . as $n | .accounts | split(",")[] as $a | $n.permissions | split(",")[]
	| {tool: $n.tool, call: $n.call, resource: $n.resource, account: $a, permission: .})) as $wanted
| ($wanted[] | . as $w
	| select(any($grants[]; .account == $w.account and .resource == $w.resource and any(.permissions[]; . == $w.permission)) | not)
	| "\(.tool) as \(.account) lacks \(.permission) on \(.resource), for \(.call)"),
($grants[] | . as $g
	| select(.role != "roles/iam.serviceAccountTokenCreator")
	| select(any($wanted[]; .account == $g.account and .resource == $g.resource and any(.permission; IN($g.permissions[]))) | not)
	| "nobody needs \(.address), \(.role) of \(.account)"),
($grants[] | select($custom[.role]) | . as $g | .permissions[] as $p
	| select(any($wanted[]; .account == $g.account and .resource == $g.resource and .permission == $p) | not)
	| "\(.account) does not need \($p) on \(.resource)");
