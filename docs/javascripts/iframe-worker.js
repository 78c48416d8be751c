// Pages that are opened from the disk may not start workers, and without its worker the search has no answer.
// There, its script runs in a hidden frame instead, which gives it what a worker has: messages in and out.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      frame.srcdoc = "<!doctype html>"
      this.ready = new Promise((resolve) => {
        frame.addEventListener("load", () => {
          const inner = frame.contentWindow
          inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
          const script = inner.document.createElement("script")
          script.src = new URL(address, location.href).href
          script.addEventListener("load", () => resolve(inner))
          inner.document.body.append(script)
        }, { once: true })
      })
      document.body.append(frame)
    }

    async postMessage(data) {
      const inner = await this.ready
      inner.dispatchEvent(new MessageEvent("message", { data }))
    }
  }
}
