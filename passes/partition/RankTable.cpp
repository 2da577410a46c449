//===- RankTable.cpp - the rank table as an attribute ---------------------===//

#include "passes/partition/RankTable.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/SmallVector.h"

using namespace mlir;
using namespace whale::partition;

template <typename T> static Attribute list(Builder &builder, const T &values) {
  return builder.getDenseI64ArrayAttr(
      SmallVector<int64_t>(values.begin(), values.end()));
}

ArrayAttr whale::partition::toAttribute(MLIRContext *context,
                                        const RankTable &table) {
  Builder builder(context);
  SmallVector<Attribute> rows;
  for (const RankRow &row : table.ranks) {
    SmallVector<Attribute> axes, groups;
    SmallVector<int64_t> values;
    for (const auto &[name, value] : row.coordinates) {
      axes.push_back(builder.getStringAttr(name));
      values.push_back(value);
    }
    for (const auto &members : row.groups)
      groups.push_back(list(builder, members));
    rows.push_back(builder.getDictionaryAttr({
        builder.getNamedAttr("role", builder.getI64IntegerAttr(row.role)),
        builder.getNamedAttr("stage", builder.getI64IntegerAttr(row.stage)),
        builder.getNamedAttr("axes", builder.getArrayAttr(axes)),
        builder.getNamedAttr("coordinates", list(builder, values)),
        builder.getNamedAttr("samples", builder.getDenseI64ArrayAttr(
                                            {row.firstSample, row.samples})),
        builder.getNamedAttr("groups", builder.getArrayAttr(groups)),
        builder.getNamedAttr("peers", list(builder, row.peers)),
        builder.getNamedAttr("scalars", list(builder, row.scalars)),
    }));
  }
  return builder.getArrayAttr(rows);
}

/// Reads one row; false where a key is missing or of another type.
static bool readRow(DictionaryAttr dict, RankRow &row) {
  auto role = dict.getAs<IntegerAttr>("role");
  auto stage = dict.getAs<IntegerAttr>("stage");
  auto axes = dict.getAs<ArrayAttr>("axes");
  auto coordinates = dict.getAs<DenseI64ArrayAttr>("coordinates");
  auto samples = dict.getAs<DenseI64ArrayAttr>("samples");
  auto groups = dict.getAs<ArrayAttr>("groups");
  auto peers = dict.getAs<DenseI64ArrayAttr>("peers");
  auto scalars = dict.getAs<DenseI64ArrayAttr>("scalars");
  if (!role || !stage || !axes || !coordinates || !samples || !groups ||
      !peers || !scalars || samples.size() != 2 ||
      coordinates.size() != int64_t(axes.size()))
    return false;
  row.role = role.getInt();
  row.stage = stage.getInt();
  for (auto [name, value] : llvm::zip_equal(axes, coordinates.asArrayRef())) {
    auto text = dyn_cast<StringAttr>(name);
    if (!text)
      return false;
    row.coordinates.emplace_back(text.str(), value);
  }
  row.firstSample = samples[0];
  row.samples = samples[1];
  for (Attribute entry : groups) {
    auto members = dyn_cast<DenseI64ArrayAttr>(entry);
    if (!members)
      return false;
    row.groups.emplace_back(members.asArrayRef().begin(),
                            members.asArrayRef().end());
  }
  row.peers.assign(peers.asArrayRef().begin(), peers.asArrayRef().end());
  row.scalars.assign(scalars.asArrayRef().begin(), scalars.asArrayRef().end());
  return true;
}

FailureOr<RankTable> whale::partition::rankTableOf(ArrayAttr attribute) {
  RankTable table;
  for (Attribute entry : attribute) {
    RankRow row;
    auto dict = dyn_cast<DictionaryAttr>(entry);
    if (!dict || !readRow(dict, row))
      return failure();
    table.roles = std::max(table.roles, row.role + 1);
    table.ranks.push_back(std::move(row));
  }
  return table;
}
