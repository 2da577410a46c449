//===- Matrix.h - the rows of the end-to-end matrix -------------*- C++ -*-===//

#ifndef WHALE_TEST_E2E_MATRIX_H
#define WHALE_TEST_E2E_MATRIX_H

#include "Compile.h"

namespace e2e {

using whale::planner::Node;

struct Row {
  ModelCase model;
  Node plan;
  size_t ranks = 1;
  size_t number = 0; ///< of the row, from 1
};

/// Every row of the matrix.
const std::vector<Row> &rows();
/// The models of the rows, each once.
std::vector<ModelCase> models();

//===----------------------------------------------------------------------===//
// Strategy trees in few words
//===----------------------------------------------------------------------===//

Node replica(int64_t degree, std::vector<Node> body = {});
/// Unequal shares of the batch.
Node shares(std::vector<int64_t> samples, std::vector<Node> body = {});
/// ZeRO-1.
Node zero(int64_t degree, std::vector<Node> body = {});
Node split(int64_t degree, std::vector<std::string> dims,
           std::vector<Node> body = {});
/// On the devices of the nearest replica around it.
Node colocated(std::vector<std::string> dims, std::vector<std::string> paths,
               std::vector<Node> body = {});
Node pipeline(
    int64_t microBatches, std::vector<Node> stages,
    whale::planner::Schedule schedule = whale::planner::Schedule::OneFOneB);
Node stage(std::vector<std::string> paths, std::vector<Node> body = {});
Node recompute(Node node,
               whale::planner::Recompute how = whale::planner::Recompute::Full,
               int64_t layers = 0);

} // namespace e2e

#endif // WHALE_TEST_E2E_MATRIX_H
