// What remains of a drone's commands, each stop with the time at which it is expected. Pure.

const METRES_A_DEGREE = 111195;

function metres(a, b) {
  const mean = (((a.lat + b.lat) / 2) * Math.PI) / 180;
  return Math.hypot((a.lat - b.lat) * METRES_A_DEGREE, (a.lon - b.lon) * METRES_A_DEGREE * Math.cos(mean));
}

// The way along the way points to `goal`: routes go round no-fly areas.
function along(from, route, goal) {
  let way = 0;
  let here = from;
  for (const pos of route) {
    way += metres(here, pos);
    here = pos;
    if (metres(pos, goal) < 30) return way;
  }
  return null;
}

// `drone`: as GET /drones/{id}. `pace`: metres that it flies in a real second, null if not seen. `eta(id)`: a delivery's, or null.
// Each: {kind, delivery_id, station, at}; `at` null: nobody can say, because it charges before, or does not fly yet.
export function remainingStops(drone, pace, eta, now) {
  const begun = drone.orders_seq === drone.orders.seq ? drone.stops_done || 0 : 0;
  let at = drone.pos && pace ? now : null;
  let here = drone.pos;
  return drone.orders.stops.slice(begun).map((stop) => {
    const told = stop.kind === "dropoff" ? eta(stop.delivery_id) : null;
    if (at !== null && stop.pos) {
      const way = here === drone.pos ? along(here, drone.route || [], stop.pos) : null;
      at += ((way ?? metres(here, stop.pos)) / pace) * 1000;
    }
    if (stop.pos) here = stop.pos;
    const shown = told ?? (at === null || stop.kind === "hold" ? null : new Date(at).toISOString());
    if (told) at = Date.parse(told);
    if (stop.kind === "charge") at = null; // how long it charges depends on who else does
    return { kind: stop.kind, delivery_id: stop.delivery_id, station: stop.station, at: shown };
  });
}
