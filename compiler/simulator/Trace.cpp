//===- Trace.cpp - a time line for Chrome and Perfetto --------------------===//

#include "compiler/simulator/Trace.h"

#include "compiler/support/Json.h"

namespace whale::simulator {

namespace {

using json::Writer;
using Layout = Writer::Layout;

enum Thread : int { Compute, Sends, Replicas };

constexpr std::string_view eventNames[] = {
    "forward",          "backward",      "backward input", "backward weight",
    "parameter gather", "gradient sync", "shared sync",    "update"};

constexpr std::string_view transferNames[] = {
    "send forward", "send backward", "parameter gather", "gradient sync"};

double microseconds(Picoseconds time) { return time.asDouble() / 1e6; }

class TraceWriter {
public:
  std::string run(const Timeline &timeline) {
    writer.beginObject().field("displayTimeUnit", "ms");
    writer.key("traceEvents").beginArray();
    for (size_t s = 0; s < timeline.stages.size(); ++s) {
      nameOf(s, "process_name", Compute, "stage " + std::to_string(s));
      nameOf(s, "thread_name", Compute, "compute");
      nameOf(s, "thread_name", Sends, "sends");
      nameOf(s, "thread_name", Replicas, "replicas");
    }
    for (const Event &event : timeline.events)
      add(event);
    for (const Transfer &transfer : timeline.transfers)
      add(transfer);
    writer.endArray().endObject();
    return writer.take();
  }

private:
  void nameOf(size_t stage, std::string_view what, int thread,
              const std::string &name) {
    writer.beginObject(Layout::Inline)
        .field("ph", "M")
        .field("pid", stage)
        .field("tid", thread)
        .field("name", what);
    writer.key("args").beginObject().field("name", name).endObject();
    writer.endObject();
  }

  /// Opens a complete event up to its arguments.
  void begin(std::string_view kind, size_t stage, int thread, uint32_t chunk,
             int64_t microBatch, Picoseconds start, Picoseconds end) {
    writer.beginObject(Layout::Inline)
        .field("ph", "X")
        .field("pid", stage)
        .field("tid", thread)
        .field("ts", microseconds(start))
        .field("dur", microseconds(end - start))
        .field("cat", kind)
        .field("name", std::string(kind) + " " + std::to_string(microBatch));
    writer.key("args")
        .beginObject()
        .field("chunk", chunk)
        .field("micro_batch", microBatch);
  }

  void add(const Event &event) {
    begin(eventNames[static_cast<size_t>(event.kind)], event.stage, Compute,
          event.chunk, event.microBatch, event.start, event.end);
    writer.endObject().endObject();
    writer.beginObject(Layout::Inline)
        .field("ph", "C")
        .field("pid", event.stage)
        .field("ts", microseconds(event.start))
        .field("name", "live bytes");
    writer.key("args").beginObject().field("bytes", event.memory.value());
    writer.endObject().endObject();
  }

  void add(const Transfer &transfer) {
    bool sent = transfer.kind == Transfer::Kind::Forward ||
                transfer.kind == Transfer::Kind::Backward;
    begin(transferNames[static_cast<size_t>(transfer.kind)], transfer.from,
          sent ? Sends : Replicas, transfer.chunk, transfer.microBatch,
          transfer.start, transfer.end);
    writer.field("to", transfer.to).endObject().endObject();
  }

  Writer writer;
};

} // namespace

std::string chromeTrace(const Timeline &timeline) {
  return TraceWriter().run(timeline);
}

} // namespace whale::simulator
