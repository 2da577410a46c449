#ifndef WHALE_TEST_CLUSTER_TESTCATALOGUE_H
#define WHALE_TEST_CLUSTER_TESTCATALOGUE_H

#include "compiler/cluster/Cluster.h"
#include <catch2/catch.hpp>

/// The embedded catalogue.
inline const whale::Catalogue &testCatalogue() {
  static const whale::Catalogue catalogue = [] {
    whale::Diagnostics diags;
    auto loaded = whale::Catalogue::load(diags);
    INFO(diags.str());
    REQUIRE(loaded);
    return *loaded;
  }();
  return catalogue;
}

/// A cluster that must parse.
inline whale::Cluster testCluster(std::string_view text) {
  whale::Diagnostics diags;
  auto cluster =
      whale::parseCluster(text, "cluster.json", testCatalogue(), diags);
  INFO(diags.str());
  REQUIRE(cluster);
  return *cluster;
}

#endif // WHALE_TEST_CLUSTER_TESTCATALOGUE_H
