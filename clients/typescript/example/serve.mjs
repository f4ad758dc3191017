// Serves this folder's parent on this machine, so that the page has an origin: node example/serve.mjs [port]
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const types = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript" };
const port = Number(process.argv[2] ?? 8090);

createServer(async (request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname));
  const type = types[extname(path)];
  try {
    if (path === "/") {
      response.writeHead(302, { Location: "/example/index.html" }).end();
    } else if (type === undefined || !/^\/(example|dist)\//.test(path)) {
      response.writeHead(404).end();
    } else {
      response.writeHead(200, { "Content-Type": `${type}; charset=utf-8` }).end(await readFile(join(root, path)));
    }
  } catch {
    response.writeHead(404).end();
  }
}).listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${port}/`));
