// Keeps visits on this device until the fleet has them, and passes for gateways: IndexedDB.

const NAME = "poleward-visits";

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 2);
    request.onupgradeneeded = ({ oldVersion }) => {
      if (oldVersion < 1) request.result.createObjectStore("visits", { keyPath: "visit_id" });
      request.result.createObjectStore("passes", { keyPath: "gateway" });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function run(name, mode, work) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(name, mode);
      const request = work(transaction.objectStore(name));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

export const keepVisit = (visit) => run("visits", "readwrite", (store) => store.put(visit));
export const dropVisit = (id) => run("visits", "readwrite", (store) => store.delete(id));
export const keptPasses = () => run("passes", "readonly", (store) => store.getAll());

export function keepPasses(passes) {
  return run("passes", "readwrite", (store) => {
    const emptied = store.clear();
    passes.forEach((pass) => store.put(pass));
    return emptied;
  });
}

export async function keptVisits() {
  const visits = await run("visits", "readonly", (store) => store.getAll());
  return visits.sort((a, b) => b.began_at_ms - a.began_at_ms);
}
