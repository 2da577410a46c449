//===- Cluster.cpp - whalec cluster list, whalec cluster show -------------===//

#include "compiler/cluster/Cluster.h"
#include "compiler/support/Text.h"
#include "tools/whalec/CommandLine.h"

#include <algorithm>
#include <fmt/format.h>

using namespace whale;
using namespace whale::cli;

//===----------------------------------------------------------------------===//
// list
//===----------------------------------------------------------------------===//

namespace {
struct ListOptions {
  bool json = false;
};
} // namespace

static void declareList(CLI::App &command, ListOptions &options) {
  addJson(command, options.json, "the types as JSON");
}

/// The peak that matters for training, and its name.
static std::string peakOf(const DeviceType &type) {
  for (Precision precision : {Precision::BF16, Precision::F16, Precision::F32})
    if (auto peak = type.peaks[size_t(precision)])
      return fmt::format("{} {}", formatRate(*peak), precisionName(precision));
  return formatRate(type.peak(Precision::F32));
}

static std::string listAsText(const Catalogue &catalogue) {
  std::string text = "devices\n";
  for (const std::string &name : catalogue.deviceNames()) {
    const DeviceType &type = *catalogue.findDevice(name);
    text += fmt::format("  {:<18} {:>9}  {:>18}  {}\n", name,
                        formatBytes(type.memory), peakOf(type), type.title);
  }
  text += "nodes\n";
  for (const std::string &name : catalogue.nodeNames()) {
    const NodeType &type = *catalogue.findNode(name);
    text += fmt::format("  {:<18} {:>2} x {:<14}  {}\n", name,
                        type.devicesPerNode, type.device.name, type.title);
  }
  return text;
}

static std::string listAsJson(const Catalogue &catalogue) {
  json::Writer writer;
  writer.beginObject().key("devices").beginArray();
  for (const std::string &name : catalogue.deviceNames()) {
    const DeviceType &type = *catalogue.findDevice(name);
    writer.beginObject().field("name", name).field("title", type.title);
    writer.field("memory_bytes", type.memory.value());
    writer.field("reserve_bytes", type.reserve.value());
    writer.key("peak_flops_per_second").beginObject();
    for (size_t i = 0; i < precisionCount; ++i)
      if (type.peaks[i])
        writer.field(precisionName(Precision(i)), type.peaks[i]->value);
    writer.endObject().endObject();
  }
  writer.endArray().key("nodes").beginArray();
  for (const std::string &name : catalogue.nodeNames())
    writeNodeType(*catalogue.findNode(name), writer);
  return writer.endArray().endObject().take();
}

static ExitCode runList(const ListOptions &options, Session &session) {
  auto catalogue = Catalogue::load(session.diagnostics);
  if (catalogue)
    writeProduct("",
                 options.json ? listAsJson(*catalogue) : listAsText(*catalogue),
                 session.diagnostics);
  return session.diagnostics.exitCode();
}

//===----------------------------------------------------------------------===//
// show
//===----------------------------------------------------------------------===//

namespace {
struct ShowOptions {
  std::string file;
};
} // namespace

static void declareShow(CLI::App &command, ShowOptions &options) {
  command.add_option("file", options.file, "a cluster.json ('-': stdin)")
      ->type_name("FILE")
      ->required();
}

static ExitCode runShow(const ShowOptions &options, Session &session) {
  auto cluster = readCluster(inputPath(options.file), session.diagnostics);
  if (!cluster)
    return session.diagnostics.exitCode();
  json::Writer writer;
  writeCluster(*cluster, writer);
  writeProduct("", writer.take(), session.diagnostics);
  say(fmt::format("{} ranks on {} nodes", formatCount(cluster->rankCount()),
                  formatCount(cluster->nodeCount())));
  return session.diagnostics.exitCode();
}

void cli::addCluster(CLI::App &app, Session &session) {
  CLI::App *command =
      app.add_subcommand("cluster", "device and node types, cluster files");
  command->require_subcommand(1);
  addCommand<ListOptions>(*command, session, "list",
                          "all device and node types", runList, declareList);
  addCommand<ShowOptions>(*command, session, "show",
                          "a cluster file with all numbers written out",
                          runShow, declareShow);
}
