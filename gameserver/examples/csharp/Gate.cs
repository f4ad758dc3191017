// What a game server needs of its gate and of the Agones SDK, with the standard library alone.
using System;
using System.IO;
using System.Net;
using System.Text;
using System.Threading;

public sealed class Answer {
    public int Status;  // 0: there was none
    public string Body = "";

    // The gate writes JSON without spaces, and what is read of it here has no quotes in it.
    public string Text(string name) {
        int at = Body.IndexOf("\"" + name + "\":\"", StringComparison.Ordinal), begin = at + name.Length + 4;
        return at < 0 ? "" : Body.Substring(begin, Body.IndexOf('"', begin) - begin);
    }
    public bool Is(string name) { return Body.Contains("\"" + name + "\":true"); }
}

public static class Gate {
    public static readonly string Api = Environment.GetEnvironmentVariable("TORIKUMI_GATE") ?? "http://127.0.0.1:8085";
    public static readonly string Sdk = "http://127.0.0.1:" + (Environment.GetEnvironmentVariable("AGONES_SDK_HTTP_PORT") ?? "9358");

    public static Answer Call(string method, string url, string body, string key = null) {
        var request = (HttpWebRequest)WebRequest.Create(url);
        request.Method = method;
        request.ContentType = "application/json";
        request.Proxy = null;  // both are on this machine
        request.Timeout = request.ReadWriteTimeout = 3000;
        request.ServicePoint.Expect100Continue = false;
        if (key != null) request.Headers["Idempotency-Key"] = key;
        try {
            byte[] bytes = Encoding.UTF8.GetBytes(body);
            using (Stream stream = request.GetRequestStream()) stream.Write(bytes, 0, bytes.Length);
            return Read((HttpWebResponse)request.GetResponse());
        } catch (WebException e) when (e.Response is HttpWebResponse) {
            return Read((HttpWebResponse)e.Response);
        } catch (Exception e) when (e is WebException || e is IOException) {
            return new Answer();
        }
    }

    static Answer Read(HttpWebResponse response) {
        using (response) using (var reader = new StreamReader(response.GetResponseStream()))
            return new Answer { Status = (int)response.StatusCode, Body = reader.ReadToEnd() };
    }

    // The answer is 200 for a player who may come in. The token has only characters that tokens have.
    public static Answer Admit(string token, string key) {
        DateTime end = DateTime.UtcNow.AddSeconds(3);
        for (int pause = 50;; pause *= 2) {
            Answer answer = Call("POST", Api + "/v1/admissions", "{\"token\":\"" + token + "\"}", key);
            bool decided = answer.Status == 200 || (answer.Status >= 400 && answer.Status < 500);
            if (decided || DateTime.UtcNow.AddMilliseconds(pause) > end) return answer;
            Thread.Sleep(pause);  // no answer, or 503
        }
    }
}
