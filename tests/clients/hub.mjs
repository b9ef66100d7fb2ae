// npm's @huggingface/hub finds the models of layouts/huggingface, offline: node hub.mjs CACHE MODULES
import assert from "node:assert";
import { createRequire } from "node:module";
import { statSync } from "node:fs";

const [cacheDir, modules] = process.argv.slice(2);
const { scanCacheDir, downloadFileToCacheDir } = createRequire(modules + "/")("@huggingface/hub");

const { repos, warnings } = await scanCacheDir(cacheDir);
assert.deepEqual(warnings, []);
assert(repos.length > 0, "no repository was found");
let files = 0;
for (const repo of repos) {
  assert.equal(repo.revisions.length, 1);
  const [revision] = repo.revisions;
  assert.deepEqual(revision.refs, ["main"]);
  for (const file of revision.files) {
    // A file that is there is not asked for; one that is asked for ends this.
    const found = await downloadFileToCacheDir({
      repo: repo.id.name,
      path: file.path.slice(revision.path.length + 1),
      revision: revision.commitOid,
      cacheDir,
      fetch: () => assert.fail("it asks the network"),
    });
    assert.equal(found, file.path);
    assert.equal(statSync(found).size, file.blob.size);
    files++;
  }
}
console.log(`@huggingface/hub: ${repos.length} repositories, ${files} files`);
