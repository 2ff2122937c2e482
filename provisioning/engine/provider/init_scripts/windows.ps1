# Fetches the agent of the workspace and runs it. Templates put this text between single quotes, so it has none.
$ErrorActionPreference = "Stop"
$program = "${ACCESS_URL}bin/coder-windows-${ARCH}.exe"
$folder = Join-Path $env:TEMP ("coder-" + [System.Guid]::NewGuid())
New-Item -ItemType Directory -Path $folder | Out-Null
$file = Join-Path $folder "coder.exe"
[Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor [Net.SecurityProtocolType]::Tls12
while ($true) {
    try {
        Invoke-WebRequest -UseBasicParsing -Uri $program -OutFile $file
        break
    } catch {
        Write-Output "coder: $program cannot be fetched; trying again in 30 seconds"
        Start-Sleep -Seconds 30
    }
}

$env:CODER_AGENT_AUTH = "${AUTH_TYPE}"
$env:CODER_AGENT_URL = "${ACCESS_URL}"
& $file agent
# A machine whose agent cannot run stays for a day, so that an administrator can look at it.
if ($LASTEXITCODE -ne 0) {
    Write-Output "coder: the agent ended with status $LASTEXITCODE; this machine stays as it is for a day"
    Start-Sleep -Seconds 86400
}
exit $LASTEXITCODE
