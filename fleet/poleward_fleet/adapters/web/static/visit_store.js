// Keeps visits on this device until the fleet has them: IndexedDB, one record per visit.

const NAME = "poleward-visits";

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore("visits", { keyPath: "visit_id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function run(mode, work) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction("visits", mode);
      const request = work(transaction.objectStore("visits"));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

export const keepVisit = (visit) => run("readwrite", (store) => store.put(visit));
export const dropVisit = (id) => run("readwrite", (store) => store.delete(id));

export async function keptVisits() {
  const visits = await run("readonly", (store) => store.getAll());
  return visits.sort((a, b) => b.began_at_ms - a.began_at_ms);
}
