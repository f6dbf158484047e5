#!/usr/bin/env bats
# Google's npm clients against gcp-emu, beside our tools. They are taken from the folder that EVPIPE_NPM names (with node_modules
# in it), else installed for the test.

bats_require_minimum_version 1.5.0
load ../lib

SUB=backend-events-topic-sub TOPIC=backend-events-topic DATASET=ecommerce_events
CLIENTS='@google-cloud/pubsub@5 @google-cloud/storage@7 @google-cloud/bigquery@8 google-auth-library@10'

setup_file() {
	export MODULES=${EVPIPE_NPM:-$BATS_FILE_TMPDIR/npm}
	[ -d "$MODULES/node_modules/@google-cloud/pubsub" ] || ! command -v npm >/dev/null || {
		mkdir -p "$MODULES"
		# shellcheck disable=SC2086 # several words
		timeout 90 npm install --ignore-scripts --no-audit --no-fund --prefix "$MODULES" $CLIENTS >"$BATS_FILE_TMPDIR/npm.log" 2>&1 3>&- || true
	}
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	command -v node >/dev/null || skip "SKIPPED, NOT TESTED: no node here"
	[ -d "$MODULES/node_modules/@google-cloud/pubsub" ] || skip "SKIPPED, NOT TESTED: Google's npm clients are not here and cannot be installed"
	export NODE_PATH=$MODULES/node_modules METADATA_SERVER_DETECTION=none
	start_emu
	PORT=$EMU_PORT
	# each client is told its endpoint by itself
	unset STORAGE_EMULATOR_HOST BIGQUERY_EMULATOR_HOST PUBSUB_EMULATOR_HOST GOOGLE_APPLICATION_CREDENTIALS
	export PORT
	cat >client.js <<-'END'
		const {OAuth2Client} = require('google-auth-library');
		exports.port = process.env.PORT;
		exports.endpoint = `http://127.0.0.1:${exports.port}`;
		exports.auth = new OAuth2Client();
		exports.auth.setCredentials({access_token: 'fake', expiry_date: Date.now() + 3600e3});
		exports.run = main => main().then(() => process.exit(0), e => { console.error(e); process.exit(1); });
	END
}

teardown() {
	end_all
}

ours() { # COMMAND...: one of our tools against the same emulator
	PUBSUB_EMULATOR_HOST=127.0.0.1:$PORT BIGQUERY_EMULATOR_HOST=127.0.0.1:$PORT STORAGE_EMULATOR_HOST=127.0.0.1:$PORT "$@"
}

@test "@google-cloud/pubsub over REST: makes, publishes to ps-pull, pulls what ps-push sent, acknowledges" {
	good_order 1 | ours ps-push -q $TOPIC
	cat >test.js <<-'END'
		const {v1} = require('@google-cloud/pubsub'), c = require('./client'), assert = require('assert');
		const options = {fallback: true, protocol: 'http', apiEndpoint: '127.0.0.1', port: +c.port, authClient: c.auth, projectId: 'test'};
		c.run(async () => {
			const s = new v1.SubscriberClient(options), p = new v1.PublisherClient(options);
			const subscription = 'projects/test/subscriptions/backend-events-topic-sub';
			const [r] = await s.pull({subscription, maxMessages: 5});
			assert.strictEqual(r.receivedMessages.length, 1);
			assert.strictEqual(JSON.parse(r.receivedMessages[0].message.data).order_id, '1');
			await s.modifyAckDeadline({subscription, ackIds: [r.receivedMessages[0].ackId], ackDeadlineSeconds: 60});
			await s.acknowledge({subscription, ackIds: [r.receivedMessages[0].ackId]});
			await p.createTopic({name: 'projects/test/topics/made'});
			await s.createSubscription({name: 'projects/test/subscriptions/made-sub', topic: 'projects/test/topics/made', ackDeadlineSeconds: 30});
			const [sent] = await p.publish({topic: 'projects/test/topics/made', messages: [
				{data: Buffer.from([0, 255, 10]), attributes: {k: 'v', 'é': '漢'}}, {data: Buffer.from('{}')}]});
			assert.strictEqual(sent.messageIds.length, 2);
			await assert.rejects(p.createTopic({name: 'projects/test/topics/made'}), /already exists|ALREADY_EXISTS/);
			await assert.rejects(p.publish({topic: 'projects/test/topics/nowhere', messages: [{data: Buffer.from('x')}]}), /not found|NOT_FOUND/i);
		});
	END
	node test.js
	[ "$(backlog_of)" = 0 ]
	ours ps-pull -q --max-messages 2 made-sub >pulled
	[ "$(jq -r .data pulled | sort | tr '\n' ' ')" = 'AP8K e30= ' ]
	jq -se 'any(.msg.attributes == {"k": "v", "é": "漢"})' pulled >fine
}

@test "@google-cloud/storage: multipart, resumable, chunked, ranges, lists, preconditions; and the lake of gcs-put" {
	good_order 1 >bare
	ev-validate -q --input bare <bare | jq -c '.msg.id = "1"' >valid
	ours gcs-put -q gs://test-events-output/output <valid >receipts
	jq -c .event valid >want
	cat >test.js <<-'END'
		const {Storage} = require('@google-cloud/storage'), c = require('./client'), assert = require('assert'), fs = require('fs');
		c.run(async () => {
			const b = new Storage({apiEndpoint: c.endpoint, projectId: 'test'}).bucket('test-events-output');
			const [lake] = await b.getFiles({prefix: 'output/'});
			assert.strictEqual(lake.length, 1);
			const [text] = await lake[0].download(); // compares the checksum, too
			assert.strictEqual(text.toString(), fs.readFileSync('want', 'utf8'));
			await b.file('in/small é+%2f.json').save('{"a":1}\n', {resumable: false});
			const large = Buffer.alloc(3000000, '{"b":2}                        \n');
			await b.file('in/large.json').save(large, {resumable: true});
			await b.file('in/chunks.json').save(large, {resumable: true, chunkSize: 262144});
			await b.file('in/packed.json').save('{"c":3}\n', {gzip: true});
			for (const name of ['in/large.json', 'in/chunks.json'])
				assert.ok((await b.file(name).download())[0].equals(large));
			const [part] = await b.file('in/small é+%2f.json').download({start: 1, end: 3});
			assert.strictEqual(part.toString(), '"a"');
			await assert.rejects(b.file('in/large.json').save('x', {resumable: false, preconditionOpts: {ifGenerationMatch: 0}}), e => e.code === 412);
			assert.deepStrictEqual(await b.file('in/nothing').exists(), [false]);
			const [page, next] = await b.getFiles({prefix: 'in/', maxResults: 3, autoPaginate: false});
			assert.strictEqual(page.length, 3);
			assert.strictEqual((await b.getFiles(next))[0].length, 1);
		});
	END
	node test.js
	ours ev-read -q 'gs://test-events-output/in/*' | jq -r '.data | @base64d' | sort | uniq -c | awk '{ print $1, $2 }' >got
	# 93,750 lines in each of two objects
	diff got - <<-'END'
		1 {"a":1}
		187500 {"b":2}
		1 {"c":3}
	END
}

@test "@google-cloud/bigquery: rows of ours and rows of its own, row errors, schemas, queries" {
	good_order 1 >bare
	ev-validate -q --input bare <bare | ours bq-insert -q $DATASET >stored
	good_order 2 | jq -c 'del(.event_type)' >row.json
	cat >test.js <<-'END'
		const {BigQuery} = require('@google-cloud/bigquery'), c = require('./client'), assert = require('assert');
		c.run(async () => {
			const t = new BigQuery({apiEndpoint: c.endpoint, projectId: 'test', authClient: c.auth}).dataset('ecommerce_events').table('orders');
			const [meta] = await t.getMetadata();
			assert.ok(meta.schema.fields.some(f => f.name === 'items' && f.mode === 'REPEATED' && f.type === 'RECORD'));
			const row = require('./row.json');
			await t.insert([row]);
			await assert.rejects(t.insert([{...row, order_id: '3', total_amount: 'x'}], {partialRetries: 0}),
				e => e.name === 'PartialFailureError' && e.errors[0].errors[0].reason === 'invalid');
			const [rows] = await t.getRows();
			assert.deepStrictEqual(rows.map(r => r.order_id).sort(), ['1', '2']);
			assert.strictEqual(rows[0].order_date.value, '2025-02-08T13:09:00.000Z');
			assert.strictEqual(rows[0].items[0].product_name, 'Mug');
			const [n] = await t.dataset.query('select count(*) as n from ecommerce_events.orders');
			assert.strictEqual(Number(n[0].n), 2);
			await assert.rejects(t.dataset.table('nowhere').getMetadata(), e => e.code === 404);
		});
	END
	node test.js
	[ "$(rows_of orders)" = 2 ]
}
