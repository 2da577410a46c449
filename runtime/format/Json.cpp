//===- Json.cpp -----------------------------------------------------------===//

#include "runtime/format/Json.h"

namespace whale::format {

Result<Json> parseJson(const std::string &text, const std::string &name) {
  constexpr int maxDepth = 64;
  bool tooDeep = false;
  auto limitDepth = [&](int depth, Json::parse_event_t, Json &) {
    tooDeep |= depth > maxDepth;
    return !tooDeep;
  };
  Json root = Json::parse(text, limitDepth, /*allow_exceptions=*/false);
  if (tooDeep)
    return badInput("'" + name + "' is nested too deep");
  if (root.is_discarded())
    return badInput("'" + name + "' is not valid JSON");
  return root;
}

std::string printJson(const Json &value, int indent) {
  return value.dump(indent, ' ', /*ensure_ascii=*/false,
                    Json::error_handler_t::replace);
}

} // namespace whale::format
