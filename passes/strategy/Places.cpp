//===- Places.cpp - places and messages of both worlds --------------------===//

#include "passes/strategy/Places.h"

#include "mlir/IR/Diagnostics.h"

using namespace mlir;
using namespace whale;

static Location locationOf(const Place &place, Location fallback) {
  if (place.file().empty())
    return fallback;
  return FileLineColLoc::get(fallback.getContext(), place.file(), place.line(),
                             place.column());
}

LogicalResult whale::report(const Diagnostics &diagnostics, Location fallback) {
  for (const Diag &diag : diagnostics.messages()) {
    Location location = locationOf(diag.place, fallback);
    InFlightDiagnostic message = diag.severity == Severity::Error
                                     ? emitError(location, diag.message)
                                     : emitWarning(location, diag.message);
    for (const Diag &note : diag.notes)
      message.attachNote(locationOf(note.place, location)) << note.message;
  }
  return success(!diagnostics.hasErrors());
}

Place whale::placeOf(Location location) {
  Place place;
  location->walk([&](Location inner) {
    auto spot = dyn_cast<FileLineColLoc>(inner);
    if (!spot)
      return WalkResult::advance();
    place =
        Place(spot.getFilename().getValue(), spot.getLine(), spot.getColumn());
    return WalkResult::interrupt();
  });
  return place;
}
