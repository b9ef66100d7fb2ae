#pragma once

#include "store/catalog/catalog.h"
#include "tests/fuzz/scripted_store.h"

namespace ollamafs::test {

// What must hold of the catalog of any store. Looks at the files by plain paths.
void check_catalog(const Catalog& catalog, const ScriptedStore& store);

// That nothing was overlooked: each entry where a tag belongs is a model or a problem, but for
// those that Ollama hides too. Directories behind links are not looked into.
void check_complete(const Catalog& catalog, const ScriptedStore& store);

// That two catalogs are of one and the same store.
void check_same(const Catalog& a, const Catalog& b);

}  // namespace ollamafs::test
